"""Layouts against the plain meaning of their axes, and the bounds they must keep."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delta.arrays import Octets
from delta.errors import PatchMalformed
from delta.layouts import Layout, ReadAhead

BASE = np.random.default_rng(1).integers(0, 256, 3_000_000, np.uint8)
WIDTHS = st.sampled_from([1, 2, 4, 8])
STRIDES = st.sampled_from([0, 1, 2, 7, 64, 513, 5000])


def read(offset: int, length: int) -> Octets:
    assert 0 <= offset <= offset + length <= BASE.size
    return BASE[offset : offset + length]


def expected_items(layout: Layout, offset: int, width: int) -> Octets:
    """All items, the slow way: one axis after the other."""
    places = np.array(layout.starts or (0,), np.int64)
    in_bounds = [np.zeros_like(places) for _ in layout.bounds]
    for extent, stride in zip(layout.extents, layout.strides, strict=True):
        steps = np.arange(extent) * stride
        places = (places[:, None] + steps * width).ravel()
        in_bounds = [
            (taken[:, None] + (steps if stride < bound else 0 * steps)).ravel()
            for taken, bound in zip(in_bounds, layout.bounds, strict=True)
        ]
    inside = np.ones(places.size, bool)
    for taken, bound in zip(in_bounds, layout.bounds, strict=True):
        inside &= taken < bound
    items = BASE[np.where(inside, offset + places, 0)[:, None] + np.arange(width)]
    items[~inside] = 0
    return items


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    axes = draw(st.integers(1, 4))
    extents = draw(st.lists(st.integers(1, (900, 30, 9, 5)[axes - 1]), min_size=axes, max_size=axes))
    contiguous = axes == 1 and draw(st.booleans())
    strides = [1] if contiguous else draw(st.lists(STRIDES, min_size=axes, max_size=axes))
    starts = draw(st.lists(st.integers(0, 1_000_000), max_size=30))
    bounds = draw(st.lists(st.integers(0, 6000), max_size=2))
    return Layout(tuple(extents), tuple(strides), tuple(starts), tuple(bounds))


@settings(max_examples=300, deadline=None)
@given(layouts(), WIDTHS, st.integers(0, 50), st.data())
def test_any_range_of_any_layout_is_what_its_axes_say(
    layout: Layout, width: int, offset: int, data: st.DataObject
) -> None:
    layout.check()
    if offset + layout.reach_bytes(width) > BASE.size:
        return
    first = data.draw(st.integers(0, layout.items - 1))
    count = data.draw(st.integers(1, layout.items - first))
    expected = expected_items(layout, offset, width)[first : first + count]
    assert np.array_equal(layout.gather(read, offset, width, first, count), expected.ravel())


@pytest.mark.parametrize(
    "layout",
    [
        Layout((700, 700), (1, 700)),
        Layout((30, 40, 3, 3), (1, 270, 90, 30)),
        Layout((700,), (1,), tuple(range(0, 4 * 700 * 700, 2800))[::-1]),
        Layout((2, 700_000), (1, 1)),
        Layout((3, 5), (200_000, 40_000)),
        Layout((3, 2, 9, 16, 16), (16 * 24 * 9, 16 * 9, 1, 9, 24 * 9), (), (24 * 9, 40 * 24 * 9)),
    ],
)
def test_pieces_read_ahead_are_the_whole(layout: Layout) -> None:
    ahead = ReadAhead(read)
    edges = [*range(0, layout.items, 9_999), layout.items]
    pieces = [ahead.items(layout, 16, 4, low, high - low) for low, high in pairwise(edges)]
    assert np.array_equal(np.concatenate(pieces), expected_items(layout, 16, 4).ravel())


def test_a_transposition_is_read_in_few_pieces_and_once() -> None:
    reads: list[int] = []

    def counted(offset: int, length: int) -> Octets:
        reads.append(length)
        return read(offset, length)

    ahead = ReadAhead(counted)
    layout = Layout((256, 2048), (1, 256))
    for first in range(0, layout.items, 16_384):
        ahead.items(layout, 0, 4, first, 16_384)
    assert sum(reads) == 4 * layout.items
    assert len(reads) <= 4


@pytest.mark.parametrize(
    "layout",
    [
        Layout((), ()),
        Layout((1,) * 9, (1,) * 9),
        Layout((0,), (1,)),
        Layout((1 << 31, 1 << 31), (1, 1)),
        Layout((2,), (1 << 60,)),
        Layout((2,), (1,), (8, -8)),
    ],
)
def test_a_layout_out_of_bounds_is_malformed(layout: Layout) -> None:
    with pytest.raises(PatchMalformed):
        layout.check()


def test_nothing_is_read_beyond_a_bound() -> None:
    """A convolution of 40 outputs and 24 inputs in blocks of 16 by 16, at the end of the base."""
    items = 40 * 24 * 9
    layout = Layout((3, 2, 9, 16, 16), (16 * 24 * 9, 16 * 9, 1, 9, 24 * 9), (), (24 * 9, items))
    assert layout.reach_bytes(4) == 4 * items
    layout.gather(read, BASE.size - 4 * items, 4, 0, layout.items)


def test_more_items_than_a_layout_has_are_malformed() -> None:
    with pytest.raises(PatchMalformed):
        Layout((4, 4), (1, 4), (0, 64)).gather(read, 0, 4, 30, 3)
