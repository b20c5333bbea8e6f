"""Log lines as JSON: one object a line, a constant event name, and the fields given in `extra`."""

import json
import logging
from datetime import UTC, datetime
from typing import Any

from access.addresses import current_origin

# What every record carries besides the fields of the call; taken from a record, so that a new Python adds none to the output.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Writes `{"at", "level", "logger", "event", …fields}`, in a request its `request_id`; an exception becomes the field `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if request_id := current_origin().request_id:
            line["request_id"] = request_id
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)
