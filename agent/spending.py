"""How many HTTP bytes this device spent today, over all links and over metered ones, for the budgets of `[policy]`.

Kept in `day.json`. Under a budget, bytes are written down *before* they are asked for and corrected afterwards: whatever
kills the process, the count on disk is never below the truth by more than the small talk of one process (`SAVE_BYTES`),
and above it by at most one request (`agent.policy.SLICE_BYTES`). Without a budget it is written after each transfer alone.

A day ends when the local date becomes a *later* one, or after `LONGEST_DAY_S` of running time, whatever the date says. So a
clock that starts in 1970 at each boot and is set later does not give a second budget, since it never passes the date that
is written down; and a clock that was years ahead once does not take all later budgets away: the second condition ends that
day, and the date that holds then is taken. A clock that jumps ahead costs one further budget per jump.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from agent import disk, wire
from agent.clock import Clock, Instant
from agent.connection import Counted
from agent.errors import WireInvalid

# The longest calendar day: the one on which daylight saving time ends.
LONGEST_DAY_S = 25 * 3600.0
# Polls alone are written down this often: about twice a month at four of 300 bytes an hour.
SAVE_BYTES = 1 << 18
# What a request costs beside its body, when it is charged in advance.
ASKING_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Spent:
    """HTTP bytes in both directions."""

    any_bytes: int = 0
    metered_bytes: int = 0

    def plus(self, count: int, *, metered: bool) -> "Spent":
        """The same and `count` bytes more."""
        return Spent(self.any_bytes + count, self.metered_bytes + (count if metered else 0))


@dataclass(frozen=True, slots=True)
class Day:
    """One day's count. `ran_s` is how long the machine ran in it, up to the moment `at`."""

    date: str
    at: Instant
    ran_s: float = 0.0
    spent: Spent = Spent()


def rolled(day: Day, *, date: str, now: Instant) -> Day:
    """The day at this moment: the same one, or a new one with nothing spent."""
    ran_s = day.ran_s + now.since(day.at)
    if date > day.date or ran_s >= LONGEST_DAY_S:
        return Day(date, now)
    return replace(day, at=now, ran_s=ran_s)


class Spending:
    """Today's count, kept up with what a client counted."""

    def __init__(self, path: Path, clock: Clock, counted: Callable[[], Counted]) -> None:
        self._path = path
        self._clock = clock
        self._counted = counted
        self._seen_bytes = self._client_bytes()
        self._day = read(path) or Day(self._date(), clock.now())
        self._written = self._day

    def today(self) -> Spent:
        """What was spent so far."""
        self._day = rolled(self._day, date=self._date(), now=self._clock.now())
        return self._day.spent

    def count(self, *, metered: bool) -> None:
        """Take in what the client sent and received since the last time; written down when it has become much."""
        spent = self.today()
        client_bytes = self._client_bytes()
        self._day = replace(self._day, spent=spent.plus(client_bytes - self._seen_bytes, metered=metered))
        self._seen_bytes = client_bytes
        if self._unwritten_bytes() >= SAVE_BYTES:
            self._write(self._day)

    def charge(self, body_bytes: int, *, metered: bool) -> None:
        """Write down what is about to be asked for, as if it had come."""
        ahead = self.today().plus(body_bytes + ASKING_BYTES, metered=metered)
        self._write(replace(self._day, spent=ahead))

    def correct(self, *, metered: bool) -> None:
        """Write down what came indeed."""
        self.count(metered=metered)
        if self._written.spent != self._day.spent:
            self._write(self._day)

    def _date(self) -> str:
        return self._clock.local().date().isoformat()

    def _client_bytes(self) -> int:
        counted = self._counted()
        return counted.received + counted.sent

    def _unwritten_bytes(self) -> int:
        return abs(self._day.spent.any_bytes - self._written.spent.any_bytes)

    def _write(self, day: Day) -> None:
        disk.replace_file(self._path, json.dumps(asdict(day), separators=(",", ":")).encode())
        self._written = day


def read(path: Path) -> Day | None:
    """The day on disk; `None` when there is none, or it is damaged or cannot be read."""
    try:
        document: Any = wire.parse_json(path.read_bytes(), path.name)
        spent = Spent(int(document["spent"]["any_bytes"]), int(document["spent"]["metered_bytes"]))
        at = Instant(str(document["at"]["boot_id"]), float(document["at"]["uptime_s"]))
        return Day(str(document["date"]), at, float(document["ran_s"]), spent)
    except (OSError, WireInvalid, KeyError, TypeError, ValueError, OverflowError):
        return None
