"""Time as the agent needs it: intervals that survive a wrong wall clock, and the wall clock itself.

Intervals count seconds since boot (suspend included) together with the boot's id, so they go on across restarts of the
agent, and a wall clock that is years off changes nothing of them. The wall clock is for people to read, for the owner's hours
(`agent/policy.py`) and for the end of signed metadata (`agent/trust/`), each of which says what a wrong one does.

**Test only:** with `SMALLFLEET_CLOCK` set, the clocks of this process are wrong on purpose: `wall@-315360000` (the wall clock is
so many seconds off), `boot@86400` (the machine runs for a day longer), `pace@600` (ten minutes pass in each second, and a pause takes
a second instead of ten minutes); several with commas between them.
"""

import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

CLOCK_VARIABLE = "SMALLFLEET_CLOCK"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Instant:
    """A moment: seconds since one particular boot."""

    boot_id: str
    uptime_s: float

    def since(self, earlier: "Instant") -> float:
        """Seconds from `earlier` until here; from this boot's start when `earlier` lies before it."""
        if self.boot_id != earlier.boot_id:
            return self.uptime_s
        return max(0.0, self.uptime_s - earlier.uptime_s)


def _fault(kind: str, default: float) -> float:
    """The number of the test-only fault of this kind, if there is one."""
    faults = (one.partition("@") for one in os.environ.get(CLOCK_VARIABLE, "").split(","))
    return next((float(number) for named, _, number in faults if named == kind), default)


_WALL_OFF = timedelta(seconds=_fault("wall", 0.0))
_BOOT_OFF_S = _fault("boot", 0.0)
_PACE = _fault("pace", 1.0)


def pause(seconds: float) -> None:
    """Sleep."""
    time.sleep(seconds / _PACE)


class Clock:
    """The machine's clocks and its randomness: the one thing that tests replace."""

    def __init__(self) -> None:
        self._boot_id = BOOT_ID.read_text().strip()

    def now(self) -> Instant:
        return Instant(self._boot_id, time.clock_gettime(time.CLOCK_BOOTTIME) * _PACE + _BOOT_OFF_S)

    def utc(self) -> datetime:
        """The wall clock, which may be wrong."""
        return self._wall()

    def _wall(self) -> datetime:
        return datetime.now(UTC) + _WALL_OFF

    def wall_time(self) -> str:
        """RFC 3339 in UTC, for events."""
        return self._wall().isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def local(self) -> datetime:
        """The wall clock with the machine's time zone as it is now, for rules about hours of the day."""
        time.tzset()
        return self._wall().astimezone()

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * int.from_bytes(os.urandom(6)) / (1 << 48)
