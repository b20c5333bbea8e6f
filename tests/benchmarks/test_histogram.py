"""Sketches that add up."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.histogram import RELATIVE_ACCURACY, SCHEME, histogram_of, merge, quantile, samples_in
from benchmarks.statistics import percentile

SHARES = (0.0, 0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0)
latencies = st.lists(st.integers(1, 10**12), max_size=50)


def _real_latencies(n: int, *, repeat: int) -> list[int]:
    """Of real work on this machine, with the long tail that such latencies have."""
    document = {str(number): number for number in range(repeat)}
    found = []
    for _ in range(n):
        asked = time.perf_counter_ns()
        json.dumps(document)
        found.append(time.perf_counter_ns() - asked)
    return found


@pytest.mark.parametrize("share", SHARES)
def test_quantile_of_merged_devices_is_within_one_percent_of_the_pooled_one(share: float) -> None:
    """Three devices of very different speed: here an average of percentiles would be wrong by a factor."""
    devices = [_real_latencies(700, repeat=repeat) for repeat in (5, 50, 500)]
    exact = percentile(sorted(value for device in devices for value in device), share)

    found = quantile(merge(map(histogram_of, devices)), share)

    assert found is not None
    assert abs(found - exact) <= RELATIVE_ACCURACY * exact * (1 + 1e-9)


@given(latencies.filter(bool), st.sampled_from(SHARES))
def test_quantile_is_within_one_percent_of_the_exact_one(values: list[int], share: float) -> None:
    exact = percentile(sorted(values), share)
    found = quantile(histogram_of(values), share)

    assert found is not None
    assert abs(found - exact) <= RELATIVE_ACCURACY * exact * (1 + 1e-9)


@given(st.lists(latencies, max_size=4))
def test_merging_is_counting_everything_at_once(devices: list[list[int]]) -> None:
    everything = [value for device in devices for value in device]

    assert merge(map(histogram_of, devices)) == histogram_of(everything)


def test_buckets_stay_where_they_are() -> None:
    """What devices send is added up for years: the same latency must fall into the same bucket for ever."""
    assert histogram_of([1_000_000, 1_000_000, 1_015_000]) == {
        "scheme": "ddsketch/0.01",
        "first": 691,
        "counts": [2, 1],
    }


def test_merging_leaves_what_was_merged_as_it_was() -> None:
    one, other = histogram_of([10]), histogram_of([10_000])
    before = json.dumps([one, other])
    merge([one, other])

    assert json.dumps([one, other]) == before


def test_reading_below_the_clocks_step_is_counted() -> None:
    assert samples_in(histogram_of([0, 1])) == 2
    assert quantile(histogram_of([0]), 0.5) == pytest.approx(1, rel=RELATIVE_ACCURACY)


def test_empty_histogram_has_no_quantile() -> None:
    assert quantile(histogram_of([]), 0.5) is None
    assert merge([]) == histogram_of([]) == {"scheme": SCHEME, "first": 0, "counts": []}


def test_another_scheme_is_neither_merged_nor_read() -> None:
    early = {"scheme": "log2x8/1", "first": 0, "counts": [1]}

    with pytest.raises(ValueError, match="log2x8/1"):
        merge([histogram_of([1]), early])
    with pytest.raises(ValueError, match="log2x8/1"):
        quantile(early, 0.5)
