"""One run's energy: a baseline, readings at window edges, and what they make per inference."""

import contextlib
import itertools
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.energy.finding import find_meter
from benchmarks.energy.integral import MOST_WATTS, Delta, PowerSeries, counted
from benchmarks.energy.meter import EnergyMeter, EnergyUnreadable, Source
from benchmarks.energy.sampler import Sampler, period_of
from benchmarks.report import Absent, Maybe
from benchmarks.tiers import TierPlan
from benchmarks.timing import Window

# MLPerf Tiny's energy mode: exactly five windows, and the median of them.
WINDOWS = 5
# What is left of the model's first run in caches and clocks is not idle.
_SETTLE_SHARE = 0.1
_NO_IDLE_POWER = Absent("the meter showed no power while the device was idle")
_NOT_ABOVE_IDLE = Absent("the run took no more power than the device took idle")


@dataclass(frozen=True, slots=True)
class _Edge:
    """A moment, and the counters then; no counters where power is sampled."""

    at_ns: int
    counters: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Energy between two edges."""

    joules: float
    seconds: float
    wraps: int

    @property
    def watts(self) -> float:
        return self.joules / self.seconds


class EnergyLog:
    """The energy of one run. A meter that fails ends the energy figure, never the run.

    with EnergyLog(plan, watts=..., avoid=cpus) as energy:
        energy.baseline()
        windows = run_windows(infer, energy.plan, energy.at_edge)
    report["energy"] = energy.block(windows)
    """

    def __init__(
        self, plan: TierPlan, *, watts: float | None = None, root: Path = Path("/"), avoid: Sequence[int] = ()
    ) -> None:
        """Find the best meter for runs of this tier.

        Args:
            plan: the tier.
            watts: calibrated power of one busy core, for devices without a meter.
            root: where `/sys` is.
            avoid: CPUs that are measured, where no sampler may run.
        """
        self.meter: EnergyMeter | Absent = find_meter(longest_window_s=plan.energy_window_s, watts=watts, root=root)
        self.plan = plan
        self._root, self._avoid = root, tuple(avoid)
        self._sampler: Sampler | None = None
        self._power = PowerSeries()
        self._idle: list[_Edge] = []
        self._edges: list[_Edge] = []
        self._failure: str | None = None
        if not isinstance(self.meter, Absent):
            # A slow sensor needs windows of its own length; the tier has said how long they may be.
            longer_s = max(plan.min_duration_s, WINDOWS * self.meter.source.min_window_s)
            self.plan = replace(plan, min_duration_s=longer_s)

    def __enter__(self) -> Self:
        """Start sampling, if the meter is one that is sampled."""
        if not isinstance(self.meter, Absent) and self.meter.source.interval_s is not None:
            with self._failing():
                self._sampler = Sampler(
                    self.meter.source,
                    longest_window_s=self.plan.energy_window_s,
                    root=self._root,
                    avoid=self._avoid,
                )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop sampling."""
        if self._sampler is not None:
            self._power = self._sampler.stop()
            self._sampler = None

    def baseline(self) -> None:
        """Do nothing for the tier's idle time, between three edges. No time is spent where no meter counts an idle device."""
        if isinstance(self.meter, Absent) or not self.meter.source.counts_idle or self._failure is not None:
            return
        idle_s = max(self.plan.idle_s, self.meter.source.min_window_s)
        time.sleep(idle_s * _SETTLE_SHARE)
        for pause_s in (idle_s / 2, idle_s / 2, 0.0):
            self._mark(self._idle)
            time.sleep(pause_s)

    def at_edge(self) -> None:
        """Note the edge of a window."""
        self._mark(self._edges)

    def _mark(self, edges: list[_Edge]) -> None:
        if isinstance(self.meter, Absent) or self._failure is not None:
            return
        with self._failing():
            counters = self.meter.read() if self.meter.source.interval_s is None else ()
            edges.append(_Edge(time.perf_counter_ns(), counters))

    @contextlib.contextmanager
    def _failing(self) -> Any:
        try:
            yield
        except EnergyUnreadable as error:
            self._failure = str(error)

    def block(self, windows: Sequence[Window]) -> Maybe[dict[str, Any]]:
        """The report's energy block, of the same run as the latencies in these windows."""
        if isinstance(self.meter, Absent):
            return self.meter
        if self._failure is not None:
            return Absent(self._failure)
        try:
            return self._summary(self.meter.source, windows)
        except EnergyUnreadable as error:
            return Absent(str(error))

    def _summary(self, source: Source, windows: Sequence[Window]) -> dict[str, Any]:
        groups = _five(len(windows))
        stretches = [self._between(source, self._edges[first], self._edges[last]) for first, last in groups]
        counts = [sum(len(window.latencies_ns) for window in windows[first:last]) for first, last in groups]
        joules, seconds, n = sum(s.joules for s in stretches), sum(s.seconds for s in stretches), sum(counts)
        if joules <= 0:
            raise EnergyUnreadable(f"{source.detail} did not move during the run")
        per_inference = [stretch.joules / count for stretch, count in zip(stretches, counts, strict=True)]
        median = statistics.median(per_inference)
        if median <= 0:  # a register that the chip renews less often than there are windows
            raise EnergyUnreadable(f"{source.detail} did not move in most of the windows")
        mad = statistics.median(abs(value - median) for value in per_inference)
        idle, drift_w = self._idle_power(source)
        gross = joules / n
        net = idle if isinstance(idle, Absent) else _above_zero(gross - idle.watts * seconds / n)
        known_pct = 100 * math.hypot(1.4826 * mad / median / math.sqrt(len(groups)), drift_w * seconds / joules)
        return {
            "method": source.method,
            "tier": source.tier,
            "scope": source.scope,
            "source": source.detail,
            "j_per_inference_gross": gross,
            "j_per_inference_net": net,
            "idle_w": idle if isinstance(idle, Absent) else idle.watts,
            "idle_window_s": idle if isinstance(idle, Absent) else round(idle.seconds, 3),
            "windows_n": len(groups),
            "window_s": round(statistics.median(stretch.seconds for stretch in stretches), 3),
            "median": median,
            "mad": mad,
            "u_rel_pct": _joined(source.u_rel_pct, known_pct),
            "u_spread_pct": known_pct,
            **self._coverage(source),
            "counter_wraps": sum(stretch.wraps for stretch in stretches),
            "same_run_as_latency": True,
        }

    def _between(self, source: Source, start: _Edge, end: _Edge) -> _Stretch:
        delta = (
            counted(source, start.counters, end.counters)
            if source.interval_s is None
            else Delta(self._power.joules(start.at_ns, end.at_ns))
        )
        stretch = _Stretch(delta.joules, (end.at_ns - start.at_ns) / 1e9, delta.wraps)
        if stretch.watts > MOST_WATTS:
            raise EnergyUnreadable(f"{source.detail} jumped by {delta.joules:g} J in {stretch.seconds:g} s")
        return stretch

    def _idle_power(self, source: Source) -> tuple[Maybe[_Stretch], float]:
        """The baseline, and by how many watts its second half differs from its first."""
        if not source.counts_idle:
            return Absent("CPU time of one process has no idle part"), 0.0
        start, middle, end = self._idle
        halves = self._between(source, start, middle), self._between(source, middle, end)
        whole = self._between(source, start, end)
        if whole.watts <= 0:  # a device that is on takes power: the meter is too coarse, or off its zero
            return _NO_IDLE_POWER, 0.0
        return whole, abs(halves[1].watts - halves[0].watts)

    def _coverage(self, source: Source) -> dict[str, Any]:
        """How many readings there should be and are, from the first edge to the last."""
        if source.interval_s is None:
            return {"samples_expected": len(self._edges), "samples_ok": len(self._edges)}
        start_ns, end_ns = self._edges[0].at_ns, self._edges[-1].at_ns
        return {
            "samples_expected": self._power.expected(start_ns, end_ns),
            "samples_ok": self._power.taken(start_ns, end_ns),
            "sensor_interval_s": source.interval_s,
            "sample_period_s": period_of(source.interval_s),
        }


def _five(windows: int) -> list[tuple[int, int]]:
    """Edges of five groups of neighbouring windows, as equal as can be; fewer where the run ended early."""
    groups = min(WINDOWS, windows)
    bounds = [round(index * windows / groups) for index in range(groups + 1)]
    return list(itertools.pairwise(bounds))


def _above_zero(net_j: float) -> Maybe[float]:
    return net_j if net_j > 0 else _NOT_ABOVE_IDLE


def _joined(sensor_pct: Maybe[float], known_pct: float) -> Maybe[float]:
    """The sensor's own error and what was seen in this run: sqrt(sensor^2 + spread^2 + drift^2), in percent."""
    return sensor_pct if isinstance(sensor_pct, Absent) else math.hypot(sensor_pct, known_pct)
