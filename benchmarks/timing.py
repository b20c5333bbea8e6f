"""The timed loop: single stream, batch 1, the next query when the last one is done, cut into windows.

Nothing but two clock reads stands between inferences. Everything else (CPU time, energy counters) is read at the edges
of windows, where it costs no query anything.
"""

import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.tiers import TierPlan


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of back-to-back inferences. `started_ns` counts from the start of the run."""

    started_ns: int
    wall_ns: int
    cpu_ns: int
    latencies_ns: "array[int]"


@dataclass(slots=True)
class Warmup:
    """How many inferences ran untimed, and for how long."""

    n: int
    duration_s: float


def warm_up(infer: Callable[[int], object], plan: TierPlan) -> Warmup:
    """Run until both of the tier's warm-up minima are met."""
    started = time.perf_counter()
    n = 0
    while n < plan.warmup_queries or time.perf_counter() - started < plan.warmup_s:
        infer(n)
        n += 1
    return Warmup(n, time.perf_counter() - started)


def run_windows(infer: Callable[[int], object], plan: TierPlan, at_edge: Callable[[], None]) -> list[Window]:
    """Run the tier's windows; fewer where the maximum duration ends the run. `at_edge` is called before, between, after.

    Args:
        infer: one inference on the input of this number; it wraps around by itself.
        plan: minima and maximum of the whole run.
        at_edge: reads what is read at window edges.
    """
    started = time.perf_counter_ns()
    goal = _Goal(
        wall_ns=int(plan.min_duration_s * 1e9 / plan.windows),
        n=-(-plan.min_queries // plan.windows),
        deadline_ns=started + int(plan.max_duration_s * 1e9),
    )
    windows: list[Window] = []
    at_edge()
    done = 0
    while len(windows) < plan.windows and time.perf_counter_ns() < goal.deadline_ns:
        window = _run_window(infer, done, goal, run_started=started)
        at_edge()
        done += len(window.latencies_ns)
        windows.append(window)
    return windows


@dataclass(frozen=True, slots=True)
class _Goal:
    """When a window ends: both minima are met, or the run's deadline has passed."""

    wall_ns: int
    n: int
    deadline_ns: int


def _run_window(infer: Callable[[int], object], first: int, goal: _Goal, *, run_started: int) -> Window:
    clock = time.perf_counter_ns
    latencies: array[int] = array("Q")
    cpu = time.process_time_ns()
    opened = now = clock()
    index = first
    # At least one inference, so that no window is empty however late it is.
    while not latencies or ((now - opened < goal.wall_ns or len(latencies) < goal.n) and now < goal.deadline_ns):
        asked = clock()
        infer(index)
        now = clock()
        latencies.append(now - asked)
        index += 1
    return Window(opened - run_started, now - opened, time.process_time_ns() - cpu, latencies)
