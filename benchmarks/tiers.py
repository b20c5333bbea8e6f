"""How long and how often a benchmark runs.

`rapid`, `quick` and `normal` are the run modes of the MLPerf Mobile app (mlcommons/mobile_app_open,
flutter/lib/benchmark/run_mode.dart). `smoke` is ours, for a look after an install: it keeps the 64 queries that a
p90 bound needs, and its reports stay semivalid because one second is shorter than any valid run. `quick` and `normal` repeat the
run in three processes, which is what a headline number needs; the others do it in one unless more are asked for.
"""

from dataclasses import dataclass
from typing import Literal, get_args

Tier = Literal["smoke", "rapid", "quick", "normal"]

# Until a process measures: its imports, and the model's session on a slow disk.
_STARTUP_S = 60.0


@dataclass(frozen=True, slots=True)
class TierPlan:
    """One tier. A process's run ends when both minima are met, or at `max_duration_s`; `valid_duration_s` is the validity rule.

    Attributes:
        windows: a multiple of the five windows that an energy figure is made of (MLPerf Tiny), so that those are equally long.
        idle_s: the baseline of energy before the run, on devices that have a meter. Ten seconds in `normal`.
        energy_window_s: the longest of the five energy windows that the tier grants a slow sensor; `normal` measures longer for one.
        processes: how often the run is repeated, each in a process of its own, unless the caller says otherwise.
    """

    name: Tier
    min_queries: int
    min_duration_s: float
    max_duration_s: float
    valid_duration_s: float
    warmup_queries: int
    warmup_s: float
    windows: int
    idle_s: float
    energy_window_s: float
    processes: int

    @property
    def patience_s(self) -> float:
        """Wall seconds that a process may take: its start, the longest baseline of energy and what is after it, the longest run."""
        return _STARTUP_S + 2 * max(self.idle_s, self.energy_window_s) + self.max_duration_s


TIERS: dict[Tier, TierPlan] = {
    "smoke": TierPlan("smoke", 64, 1.0, 10.0, 6.0, 5, 0.1, 10, 1.0, 0.2, 1),
    "rapid": TierPlan("rapid", 64, 6.0, 60.0, 6.0, 5, 0.5, 10, 3.0, 1.2, 1),
    "quick": TierPlan("quick", 128, 10.0, 60.0, 10.0, 5, 0.5, 10, 5.0, 2.0, 3),
    "normal": TierPlan("normal", 1024, 60.0, 600.0, 60.0, 5, 0.5, 10, 10.0, 60.0, 3),
}

TIER_NAMES: tuple[Tier, ...] = get_args(Tier)

MAX_PROCESSES = 20
