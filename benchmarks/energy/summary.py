"""Readings at window edges, turned into joules per inference."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.energy.meter import Delta, EnergyMeter, EnergyUnreadable
from benchmarks.report import Absent, Maybe
from benchmarks.timing import Window

_NO_IDLE = Absent("no idle window")


@dataclass(slots=True)
class EnergyLog:
    """Reads a meter at each window edge; the first failure ends the energy figure, not the run."""

    meter: EnergyMeter | Absent
    readings_uj: list[int] = field(default_factory=list)
    failure: str | None = None

    def at_edge(self) -> None:
        """Take one reading."""
        if isinstance(self.meter, Absent) or self.failure is not None:
            return
        try:
            self.readings_uj.append(self.meter.read_uj())
        except EnergyUnreadable as error:
            self.failure = str(error)

    def block(self, windows: Sequence[Window]) -> Maybe[dict[str, Any]]:
        """The report's energy block for these windows, measured in the same run as their latencies."""
        if isinstance(self.meter, Absent):
            return self.meter
        if self.failure is not None:
            return Absent(self.failure)
        try:
            return self._summary(self.meter, windows)
        except EnergyUnreadable as error:
            return Absent(str(error))

    def _summary(self, meter: EnergyMeter, windows: Sequence[Window]) -> dict[str, Any]:
        edges = zip(self.readings_uj[:-1], self.readings_uj[1:], strict=True)
        deltas = [meter.between(earlier, later) for earlier, later in edges]
        per_inference = _per_inference(deltas, windows)
        median = statistics.median(per_inference)
        mad = statistics.median(abs(value - median) for value in per_inference)
        source = meter.source
        n = sum(len(window.latencies_ns) for window in windows)
        return {
            "method": source.method,
            "tier": source.tier,
            "scope": source.scope,
            "source": source.detail,
            "j_per_inference_gross": sum(delta.joules for delta in deltas) / n,
            "j_per_inference_net": _NO_IDLE,
            "idle_w": _NO_IDLE,
            "idle_window_s": _NO_IDLE,
            "windows_n": len(windows),
            "window_s": round(statistics.median(window.wall_ns for window in windows) / 1e9, 3),
            "median": median,
            "mad": mad,
            "u_rel_pct": _relative_uncertainty(source.u_rel_pct, median, mad, len(windows)),
            "samples_expected": len(windows) + 1,
            "samples_ok": len(self.readings_uj),
            "counter_wraps": sum(delta.wraps for delta in deltas),
            "same_run_as_latency": True,
        }


def _per_inference(deltas: Sequence[Delta], windows: Sequence[Window]) -> list[float]:
    return [delta.joules / len(window.latencies_ns) for delta, window in zip(deltas, windows, strict=True)]


def _relative_uncertainty(sensor_pct: Maybe[float], median: float, mad: float, n: int) -> Maybe[float]:
    """Sensor and spread together: sqrt(sensor^2 + (1.4826 * MAD / median / sqrt(n))^2), in percent."""
    if isinstance(sensor_pct, Absent):
        return sensor_pct
    if median <= 0:
        return Absent("the counter did not move within a window")
    return math.hypot(sensor_pct, 100 * 1.4826 * mad / median / math.sqrt(n))
