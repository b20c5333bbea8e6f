"""The last resort where no sensor is: CPU time of this process times watts that somebody calibrated for this class of device."""

import time
from dataclasses import dataclass

from benchmarks.energy.meter import Source
from benchmarks.report import Absent


@dataclass(frozen=True, slots=True)
class CpuTime:
    """Counts `watts` per second of CPU time."""

    watts: float

    @property
    def source(self) -> Source:
        """Tier 5, this process's share, with the watts as its detail."""
        unknown = Absent("the watts are the caller's")
        detail = f"{self.watts:g} W per busy core"
        return Source("cputime-calibrated", 5, "process-share", detail, unknown, ranges_uj=(None,), counts_idle=False)

    def read(self) -> tuple[int, ...]:
        """CPU time so far, as energy."""
        return (round(time.process_time_ns() * self.watts / 1e3),)
