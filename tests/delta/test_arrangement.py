"""From places to layouts, with places that are not known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delta.encoder.matching.arrangement import Run, layout_of, runs_of
from delta.layouts import Layout

WIDTH = 4


def places_of(layout: Layout) -> np.ndarray:
    places = np.array(layout.starts or (0,), np.int64)
    for extent, stride in zip(layout.extents, layout.strides, strict=True):
        places = (places[:, None] + np.arange(extent) * stride * WIDTH).ravel()
    return places


@settings(deadline=None)
@given(
    axes=st.permutations([2, 3, 5, 8, 8]),
    unknown=st.floats(0, 0.5),
    offset=st.integers(0, 10_000),
    seed=st.integers(0, 1000),
)
def test_a_permutation_of_axes_is_found_though_half_is_not_known(
    axes: list[int], unknown: float, offset: int, seed: int
) -> None:
    extents = tuple(axes)
    order = np.random.default_rng(seed).permutation(len(extents))
    strides = [int(np.prod(extents[axis + 1 :])) for axis in order]
    permuted = Layout(tuple(extents[axis] for axis in order), tuple(strides))
    places = places_of(permuted) + offset
    hidden = np.where(np.random.default_rng(seed).random(places.size) < unknown, -1, places)
    found = layout_of(hidden, WIDTH)
    assert found is not None
    assert np.array_equal(places_of(found[1]) + found[0], places)


def test_rows_in_another_order_are_starts() -> None:
    rows = np.random.default_rng(1).permutation(50)
    places = (rows[:, None] * 64 + np.arange(16) * WIDTH).ravel() + 1000
    found = layout_of(places, WIDTH)
    assert found is not None
    offset, layout = found
    assert (layout.extents, layout.strides, len(layout.starts)) == ((16,), (1,), 50)
    assert np.array_equal(places_of(layout) + offset, places)


@pytest.mark.parametrize("items", [1, 2, 700])
def test_items_in_no_order_have_no_layout(items: int) -> None:
    assert layout_of(np.random.default_rng(2).permutation(10_000)[:items] * 4, WIDTH) is None


def test_steps_that_are_no_whole_items_are_no_axis() -> None:
    assert layout_of(np.arange(600, dtype=np.int64) * 6, WIDTH) is None


def test_runs_cover_the_tensor() -> None:
    places = np.concatenate([[-1, -1], 400 + 4 * np.arange(10), [8], 40 + 4 * np.arange(20), [-1]])
    runs = list(runs_of(places, WIDTH, 40))
    assert runs == [Run(0, 8, None), Run(8, 40, 400), Run(48, 4, None), Run(52, 80, 40), Run(132, 4, None)]
