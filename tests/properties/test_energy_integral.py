"""The area under any sampled power keeps the rules of areas."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.energy.integral import PowerSeries

PERIOD_NS = 1_000_000


@st.composite
def series(draw: st.DrawFn) -> tuple[PowerSeries, list[int]]:
    """Samples at irregular moments, one in each period, and three moments that lie at least four periods apart."""
    moments = list(
        itertools.accumulate(
            [draw(st.integers(0, 2 * PERIOD_NS))] + [draw(st.integers(4 * PERIOD_NS, 10 * PERIOD_NS)) for _ in range(2)]
        )
    )
    periods = moments[-1] // PERIOD_NS + 1
    at_ns = [index * PERIOD_NS + draw(st.integers(0, PERIOD_NS - 1)) for index in range(periods)]
    microwatts = draw(st.lists(st.integers(0, 10**9), min_size=periods, max_size=periods))
    return PowerSeries(at_ns, microwatts, PERIOD_NS / 1e9), moments


@given(series())
def test_area_lies_between_the_least_and_the_most_power(case: tuple[PowerSeries, list[int]]) -> None:
    samples, (start, _, end) = case
    seconds = (end - start) / 1e9
    low, high = (bound / 1e6 * seconds for bound in (min(samples.microwatts), max(samples.microwatts)))

    assert low * (1 - 1e-9) <= samples.joules(start, end) <= high * (1 + 1e-9)


@given(series())
def test_areas_side_by_side_add_up(case: tuple[PowerSeries, list[int]]) -> None:
    samples, moments = case
    stretches = list(itertools.pairwise(moments))
    parts = sum(samples.joules(*stretch) for stretch in stretches)

    assert samples.joules(moments[0], moments[-1]) == pytest.approx(parts, rel=1e-9, abs=1e-12)


@given(series())
def test_never_more_samples_are_counted_than_were_expected(case: tuple[PowerSeries, list[int]]) -> None:
    samples, moments = case

    for stretch in itertools.pairwise(moments):
        assert 0 <= samples.taken(*stretch) <= samples.expected(*stretch)
