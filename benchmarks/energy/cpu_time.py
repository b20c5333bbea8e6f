"""The last resort where no sensor is: CPU time of this process times watts that the caller vouches for."""

import time
from dataclasses import dataclass

from benchmarks.energy.meter import Delta, Source
from benchmarks.report import Absent


@dataclass(frozen=True, slots=True)
class CpuTimeMeter:
    """Counts `watts` per second of CPU time."""

    watts: float

    @property
    def source(self) -> Source:
        """Tier 5, this process's share, with the watts as its detail."""
        unknown = Absent("watts of the caller")
        return Source("cputime-watts", 5, "process-share", f"{self.watts:g} W per busy core", unknown)

    def read_uj(self) -> int:
        """CPU time so far, as energy."""
        return round(time.process_time_ns() * self.watts / 1e3)

    def between(self, earlier_uj: int, later_uj: int) -> Delta:
        """The difference; CPU time never runs backwards."""
        return Delta((later_uj - earlier_uj) / 1e6, 0)
