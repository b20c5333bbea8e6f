"""From readings to joules: differences of counters, and the area under sampled power. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.energy.meter import EnergyUnreadable, Source

# Nothing that runs a model at batch 1 takes a megawatt: such a reading is a broken sensor's, or a counter that jumped.
MOST_WATTS = 1e6


@dataclass(frozen=True, slots=True)
class Delta:
    """Energy between two edges, and how often a counter wrapped around."""

    joules: float
    wraps: int = 0


@dataclass(frozen=True, slots=True)
class PowerSeries:
    """Samples of power in the order of time.

    Attributes:
        at_ns: perf_counter of each sample.
        microwatts: the power then.
        period_s: how far apart samples were meant to be.
        last_failure: why the last sample that could not be taken was not, or None.
    """

    at_ns: Sequence[int] = field(default_factory=list)
    microwatts: Sequence[int] = field(default_factory=list)
    period_s: float = 1.0
    last_failure: str | None = None

    def expected(self, start_ns: int, end_ns: int) -> int:
        """How many samples belong between two moments."""
        return int((end_ns - start_ns) / 1e9 / self.period_s)

    def taken(self, start_ns: int, end_ns: int) -> int:
        """How many there are, at most as many as expected."""
        inside = bisect_right(self.at_ns, end_ns) - bisect_left(self.at_ns, start_ns)
        return min(inside, self.expected(start_ns, end_ns))

    def joules(self, start_ns: int, end_ns: int) -> float:
        """The area under the power between two moments, by the trapezoid rule; the ends are interpolated.

        Raises:
            EnergyUnreadable: less than half of the samples are there, so the area would be a guess.
        """
        if self.taken(start_ns, end_ns) < max(2, self.expected(start_ns, end_ns) / 2):
            raise EnergyUnreadable(self.last_failure or "the sensor was sampled less than half as often as needed")
        first, after = bisect_left(self.at_ns, start_ns), bisect_right(self.at_ns, end_ns)
        times = [start_ns, *self.at_ns[first:after], end_ns]
        power = [self._at(start_ns), *self.microwatts[first:after], self._at(end_ns)]
        area = sum((b - a) * (p + q) for a, b, p, q in zip(times, times[1:], power, power[1:], strict=False))
        return area / 2 / 1e15

    def _at(self, moment_ns: int) -> float:
        """Power at a moment, on the line between its neighbours; the nearest sample beyond the ends."""
        right = bisect_left(self.at_ns, moment_ns)
        if right == 0 or right == len(self.at_ns):
            return self.microwatts[min(right, len(self.at_ns) - 1)]
        span = self.at_ns[right] - self.at_ns[right - 1]
        share = (moment_ns - self.at_ns[right - 1]) / span if span else 0.0
        return self.microwatts[right - 1] + share * (self.microwatts[right] - self.microwatts[right - 1])


def counted(source: Source, earlier: Sequence[int], later: Sequence[int]) -> Delta:
    """The energy between two readings of counters.

    Raises:
        EnergyUnreadable: a counter ran backwards and cannot have wrapped around.
    """
    parts = [
        _part(source.detail, before, after, wraps_at)
        for before, after, wraps_at in zip(earlier, later, source.ranges_uj, strict=True)
    ]
    return Delta(sum(part.joules for part in parts), sum(part.wraps for part in parts))


def _part(detail: str, before: int, after: int, wraps_at: int | None) -> Delta:
    if after >= before:
        return Delta((after - before) / 1e6)
    # More than half the range within one window would be kilowatts: then it is no wrap, the counter was set back.
    if wraps_at is None or (wrapped := after + wraps_at - before) > wraps_at / 2 or wrapped < 0:
        raise EnergyUnreadable(f"{detail} ran backwards, from {before} to {after} microjoules")
    return Delta(wrapped / 1e6, 1)
