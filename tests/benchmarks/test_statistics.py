"""Bounds against LoadGen's table, textbook examples and the exact binomial sum."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.statistics import (
    count_outliers,
    early_stopping_upper_bound,
    median_absolute_deviation,
    median_interval,
    percentile,
    wilson_interval,
)


@pytest.mark.parametrize(
    ("share", "confidence", "least_n"),
    [
        (0.5, 0.99, 11),
        (0.9, 0.99, 64),
        (0.95, 0.99, 130),
        (0.99, 0.99, 662),
        (0.999, 0.99, 6636),
        (0.5, 0.95, 8),
        (0.9, 0.95, 46),
        (0.95, 0.95, 93),
        (0.99, 0.95, 473),
        (0.999, 0.95, 4742),
    ],
)
def test_bound_needs_exactly_the_samples_that_loadgen_needs(share: float, confidence: float, least_n: int) -> None:
    samples = list(range(least_n))

    assert early_stopping_upper_bound(samples, share, confidence=confidence) == samples[-1]
    assert early_stopping_upper_bound(samples[:-1], share, confidence=confidence) is None


@pytest.mark.parametrize(("n", "really"), [(64, 98.4), (200, 95.0), (500, 93.2), (1000, 92.2), (5000, 91.0)])
def test_bound_on_p90_sits_at_the_rank_that_loadgen_takes(n: int, really: float) -> None:
    bound = early_stopping_upper_bound(range(n), 0.9)

    assert bound is not None
    assert round(100 * bound / n, 1) == really


@given(n=st.integers(1, 400), share=st.sampled_from([0.5, 0.75, 0.9, 0.95, 0.99]))
def test_bound_is_the_lowest_rank_that_the_binomial_tail_allows(n: int, share: float) -> None:
    """Against the definition, summed exactly: t is the largest number with P[X <= t] <= 1 %."""
    terms = [math.comb(n, k) * (1 - share) ** k * share ** (n - k) for k in range(n + 1)]
    allowed = [t for t in range(n + 1) if math.fsum(terms[: t + 1]) <= 0.01]
    expected = n - max(allowed) if allowed and max(allowed) >= 1 else None

    assert early_stopping_upper_bound(range(n), share) == expected


def test_bound_does_not_underflow_for_a_million_samples() -> None:
    bound = early_stopping_upper_bound(range(1_000_000), 0.9)

    assert bound is not None
    assert 0.900 < bound / 1_000_000 < 0.902


def test_median_interval_of_a_hundred_is_the_40th_to_the_61st() -> None:
    assert median_interval(range(1, 101)) == (40, 61)


def test_median_interval_of_five_does_not_exist() -> None:
    assert median_interval(range(5)) is None
    assert median_interval(range(6)) == (0, 5)


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=60), st.floats(0.01, 1))
def test_percentile_is_a_sample_that_enough_others_do_not_exceed(values: list[int], share: float) -> None:
    ordered = sorted(values)
    found = percentile(ordered, share)

    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9


def test_outliers_are_told_apart_by_their_distance() -> None:
    found = count_outliers(sorted([*range(100, 200), 280, 400, 1]))

    assert (found.mild, found.severe) == (2, 1)


def test_deviation_is_the_median_distance() -> None:
    assert median_absolute_deviation([1, 2, 3, 4, 100]) == 1


def test_wilson_interval_matches_the_published_example() -> None:
    low, high = wilson_interval(8, 10)

    assert (round(low, 4), round(high, 4)) == (0.4902, 0.9433)


@given(st.integers(0, 500), st.integers(1, 500))
def test_wilson_interval_contains_the_share_and_stays_a_share(hits: int, n: int) -> None:
    hits = min(hits, n)
    low, high = wilson_interval(hits, n)

    assert 0 <= low <= hits / n + 1e-12
    assert hits / n - 1e-12 <= high <= 1
