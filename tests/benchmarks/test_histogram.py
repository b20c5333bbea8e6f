"""Histograms that add up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.histogram import bucket_bounds, bucket_of, histogram_of, merge, quantile
from benchmarks.statistics import percentile

latencies = st.lists(st.integers(0, 10**12), max_size=50)


@given(st.integers(0, 2**63))
def test_value_lies_in_its_bucket_and_the_bucket_is_narrow(value: int) -> None:
    low, high = bucket_bounds(bucket_of(value))

    assert low <= value < high
    assert high - low <= max(1, low / 8)


@given(st.integers(0, 400))
def test_buckets_touch_each_other(bucket: int) -> None:
    assert bucket_bounds(bucket)[1] == bucket_bounds(bucket + 1)[0]
    assert bucket_of(bucket_bounds(bucket)[0]) == bucket


@given(st.lists(latencies, max_size=4))
def test_merging_is_counting_everything_at_once(devices: list[list[int]]) -> None:
    everything = [value for device in devices for value in device]

    assert merge(map(histogram_of, devices)) == histogram_of(everything)


@given(latencies.filter(bool), st.sampled_from([0.5, 0.9, 0.99]))
def test_quantile_is_within_a_bucket_of_the_exact_one(values: list[int], share: float) -> None:
    exact = percentile(sorted(values), share)
    found = quantile(histogram_of(values), share)

    assert found is not None
    assert abs(found - exact) <= exact / 8 + 1


def test_empty_histogram_has_no_quantile() -> None:
    assert quantile(histogram_of([]), 0.5) is None


def test_another_scheme_is_not_merged() -> None:
    with pytest.raises(ValueError, match="t-digest/1"):
        merge([histogram_of([1]), {"scheme": "t-digest/1", "first": 0, "counts": [1]}])
