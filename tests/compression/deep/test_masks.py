"""Masks keep the largest, never revive a weight, and never leave a layer empty."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from compression.deep.masks import Weights, lamp_scores, magnitudes, narrowed
from compression.errors import ModelUnusable

layers = arrays.arrays(
    np.float32,
    arrays.array_shapes(min_dims=1, max_dims=4, max_side=5),
    elements=st.floats(-8, 8, width=32),
)


@given(layers, st.data())
def test_narrowing_twice_keeps_the_largest_and_revives_none(weights: Weights, data: st.DataObject) -> None:
    first = narrowed(
        np.ones(weights.shape, np.bool_), magnitudes(weights), data.draw(st.integers(1, weights.size)), layer="fire2"
    )
    # Between two prunings weights move, the pruned ones too in an optimiser that knows no masks.
    moved = data.draw(arrays.arrays(np.float32, weights.shape, elements=st.floats(-8, 8, width=32)))
    keep = data.draw(st.integers(1, weights.size))
    second = narrowed(first, magnitudes(moved), keep, layer="fire2")
    assert not (second & ~first).any()
    assert second.sum() == min(keep, first.sum())
    left_out = first & ~second
    if left_out.any():
        assert np.abs(moved[second]).min() >= np.abs(moved[left_out]).max()


@pytest.mark.parametrize("keep", [0, -3])
def test_layer_that_would_be_empty_is_refused_by_name(keep: int) -> None:
    with pytest.raises(ModelUnusable, match=r"fire7/squeeze: pruning leaves no weight of 6"):
        narrowed(np.ones((2, 3), np.bool_), np.ones((2, 3)), keep, layer="fire7/squeeze")


@given(layers)
def test_lamp_scores_rank_as_magnitudes_do_and_the_largest_has_one(weights: Weights) -> None:
    scores = lamp_scores(weights).reshape(-1)
    ranked = scores[np.argsort(magnitudes(weights).reshape(-1), kind="stable")]
    assert (np.diff(ranked) >= 0).all()
    if np.square(weights.astype(np.float64)).any():
        assert scores.max() == 1.0


def test_lamp_scores_of_a_layer_worked_by_hand() -> None:
    # Squares 1, 4, 9: 1 / (1 + 4 + 9), 4 / (4 + 9), 9 / 9.
    assert lamp_scores(np.array([2, -1, 3], np.float32)) == pytest.approx([4 / 13, 1 / 14, 1.0])
