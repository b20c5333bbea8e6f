"""Logs as JSON lines on stderr: a constant event name and fields. Nothing secret is ever given to a log call.

A device that cannot reach its server, or hears nonsense from it, would say the same for years and wear its flash with it:
what was said three times is said once an hour from then on, with the number of times that it was left out.
"""

import json
import logging
import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

# The attributes of every record; what a call gave as `extra` is the rest.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
_NUMBERS = re.compile(r"[0-9]+")
SAID_IN_FULL = 3
AGAIN_AFTER_S = 3600.0
# Different things to say that are remembered; the one that was said first is forgotten first.
MOST_REMEMBERED = 200


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


class JsonLines(logging.Formatter):
    """One JSON object per record."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class Repetitions(logging.Filter):
    """Leaves out what was said before, numbers in it aside; debug lines and defects are never left out."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        # What was said -> how often in full, when last, how often left out since.
        self._said: dict[str, tuple[int, float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno <= logging.DEBUG or record.exc_info:
            return True
        what = _NUMBERS.sub("#", json.dumps([record.getMessage(), _fields(record)], default=str))
        times, said_at, left_out = self._said.get(what, (0, 0.0, 0))
        if times >= SAID_IN_FULL and self._now() - said_at < AGAIN_AFTER_S:
            self._said[what] = (times, said_at, left_out + 1)
            return False
        if left_out:
            record.left_out = left_out
        if what not in self._said and len(self._said) >= MOST_REMEMBERED:
            del self._said[next(iter(self._said))]
        self._said[what] = (times + 1, self._now(), 0)
        return True


def configure(level: str) -> None:
    """Send the agent's logs to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    handler.addFilter(Repetitions())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
