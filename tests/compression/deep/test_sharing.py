"""Shared values: k-means is where it should be, zeros stay zero, nothing else is lost."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from compression.deep.entropy import entropy_bits, palette_bits
from compression.deep.masks import Weights
from compression.deep.sharing import cluster, share

layers = arrays.arrays(np.float32, st.integers(1, 40), elements=st.floats(-4, 4, width=32))
samples = arrays.arrays(np.float64, st.integers(2, 9), elements=st.integers(-50, 50).map(float))


@given(layers, st.integers(1, 8), st.sampled_from([0.0, 0.05]))
def test_sharing_keeps_zeros_and_has_no_more_than_its_values(weights: Weights, values: int, rate_weight: float) -> None:
    shared = share(weights, values, rate_weight=rate_weight)
    restored = shared.weights()
    assert ((restored == 0) | (weights != 0)).all()
    assert shared.centroids.size <= values
    assert (np.diff(shared.centroids) > 0).all()
    if np.unique(weights[weights != 0]).size <= values:
        assert np.array_equal(restored, weights)


@given(samples, st.integers(1, 4))
def test_clusters_are_a_fixed_point_of_lloyds_iteration(numbers: np.ndarray, values: int) -> None:
    assume(np.ptp(numbers) > 0)
    centroids, places = cluster(numbers, values)
    for place in range(centroids.size):
        assert centroids[place] == pytest.approx(numbers[places == place].mean())
    distances = np.abs(numbers[:, None] - centroids)
    assert np.take_along_axis(distances, places[:, None], 1).reshape(-1) == pytest.approx(distances.min(axis=1))


def _best_error(numbers: np.ndarray, values: int) -> float:
    """Of all ways to cut the sorted numbers: the best clusters of one dimension are intervals."""
    rising = np.sort(numbers)
    return min(
        sum(float(np.square(part - part.mean()).sum()) for part in np.split(rising, cuts) if part.size)
        for cuts in itertools.combinations_with_replacement(range(1, rising.size), values - 1)
    )


@pytest.mark.parametrize("values", [2, 3])
def test_well_separated_groups_get_the_best_clusters_there_are(values: int) -> None:
    generator = np.random.default_rng(7)
    numbers = np.concatenate([10.0 * group + generator.uniform(-1, 1, 4) for group in range(values)])
    centroids, places = cluster(numbers, values)
    assert np.square(numbers - centroids[places]).sum() == pytest.approx(_best_error(numbers, values))


def test_start_is_even_so_that_the_few_large_weights_keep_a_value() -> None:
    weights = np.concatenate([np.linspace(-0.1, 0.1, 1000), [3.0]]).astype(np.float32)
    assert share(weights, 4).centroids[-1] == 3.0


def test_rate_weight_gives_fewer_bits_for_more_error() -> None:
    weights = np.random.default_rng(5).normal(size=4000).astype(np.float32)
    close, cheap = share(weights, 16), share(weights, 16, rate_weight=0.05)
    assert entropy_bits(cheap.indices) < 0.9 * entropy_bits(close.indices)
    assert np.square(cheap.weights() - weights).sum() > np.square(close.weights() - weights).sum()


@pytest.mark.parametrize(("weights", "values"), [(np.ones(3, np.float32), 0), (np.array([1, np.nan], np.float32), 2)])
def test_no_values_or_weights_that_are_not_finite_are_refused(weights: Weights, values: int) -> None:
    with pytest.raises(ValueError, match="at least one value and finite weights"):
        share(weights, values)


def test_entropy_of_halves_is_one_bit_each_and_of_a_constant_none() -> None:
    assert entropy_bits(np.array([0, 1] * 8)) == pytest.approx(16.0)
    assert entropy_bits(np.zeros(16, np.int64)) == 0.0
    assert palette_bits(np.array([0, 0.5] * 8, np.float32)) == pytest.approx(16.0 + 32.0)
