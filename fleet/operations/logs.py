"""Logs are events: a constant name and fields, one JSON object a line."""

import json
import logging
from datetime import UTC, datetime

# What every LogRecord has of itself; the rest came in by `extra=` and is the event's fields.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "request"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `at`, `level`, `logger`, `event`, and the fields given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON; what JSON cannot hold stands as its `str`."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _OWN}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)
