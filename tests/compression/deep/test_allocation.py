"""How many weights each layer keeps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compression.deep.allocation import ByLayer, Together, equal_loss
from compression.deep.schedules import cubic

WEIGHTS = {"even": np.linspace(0.9, 1.1, 100, dtype=np.float32), "steep": np.logspace(-6, 1, 100, dtype=np.float32)}
MASKS = {name: np.ones(100, np.bool_) for name in WEIGHTS}


def test_layers_with_sparsities_of_their_own_reach_them_and_others_stay_dense() -> None:
    allocation = ByLayer({"steep": 0.8}, cubic)
    assert allocation.kept(WEIGHTS, MASKS, 0.5) == {"even": 100, "steep": 30}
    assert allocation.kept(WEIGHTS, MASKS, 1.0) == {"even": 100, "steep": 20}


def test_together_the_layer_with_few_large_weights_gives_most() -> None:
    kept = Together(0.5, cubic).kept(WEIGHTS, MASKS, 1.0)
    assert sum(kept.values()) == 100
    assert kept["steep"] < 20


def test_together_pruned_weights_do_not_count_again() -> None:
    masks = {**MASKS, "even": np.arange(100) < 10}
    assert Together(0.5, cubic).kept(WEIGHTS, masks, 1.0)["even"] <= 10 + 90


@given(st.floats(0.01, 0.94), st.integers(1, 10_000))
def test_equal_loss_reaches_the_mean_sparsity_and_spares_the_sensitive_layer(sparsity: float, size: int) -> None:
    curves = {"robust": [(0.5, 0.01), (0.95, 0.2)], "sensitive": [(0.5, 0.3), (0.95, 4.0)]}
    sizes = {"robust": size, "sensitive": 500}
    found = equal_loss(curves, sizes, sparsity)
    mean = sum(found[name] * sizes[name] for name in sizes) / sum(sizes.values())
    assert mean == pytest.approx(sparsity, abs=1e-6)
    assert found["sensitive"] <= found["robust"]


def test_curve_that_falls_counts_as_flat() -> None:
    found = equal_loss({"a": [(0.4, 0.1), (0.6, 0.05), (0.9, 0.3)]}, {"a": 10}, 0.75)
    assert found["a"] == pytest.approx(0.75)


def test_curves_that_do_not_reach_the_sparsity_are_refused() -> None:
    with pytest.raises(ValueError, match=r"end at a mean sparsity of 0\.9000, wanted is 0\.9500"):
        equal_loss({"a": [(0.5, 0.1), (0.9, 0.2)]}, {"a": 10}, 0.95)
