"""Time as the agent needs it: intervals that survive a wrong wall clock, and a wall clock only for people to read.

Intervals count seconds since boot (suspend included) together with the boot's id, so they go on across restarts of the
agent, and a wall clock that is years off changes nothing.
"""

import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

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


class Clock:
    """The machine's clocks and its randomness: the one thing that tests replace."""

    def __init__(self) -> None:
        self._boot_id = BOOT_ID.read_text().strip()

    def now(self) -> Instant:
        return Instant(self._boot_id, time.clock_gettime(time.CLOCK_BOOTTIME))

    def wall_time(self) -> str:
        """RFC 3339 in UTC, for events."""
        return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def local(self) -> datetime:
        """The wall clock with the machine's time zone as it is now, for rules about hours of the day."""
        time.tzset()
        return datetime.now(UTC).astimezone()

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * int.from_bytes(os.urandom(6)) / (1 << 48)
