"""From places, one for each item, to few words: a layout, or runs that stand together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import isqrt

import numpy as np
import numpy.typing as npt

from delta.layouts import MAX_AXES, Layout

Places = npt.NDArray[np.int64]
"""Offsets in the base, in bytes; -1 where one is not known."""

_MAX_STARTS_SHARE = 1 / 8
_START_BYTES = 4
"""The most that one start takes in a patch, mostly: a signed distance."""
_STEPS_TRIED = 3
_CHUNK_ITEMS = 1 << 20


@dataclass(frozen=True, slots=True)
class Run:
    """Bytes `first` to `first + length` that stand together in the base at `offset`; nowhere where that is `None`."""

    first: int
    length: int
    offset: int | None


def layout_of(places: Places, width: int) -> tuple[int, Layout] | None:
    """An offset, and the layout that has items at all these places from there on; none where it would say nearly as much.

    Axes are found from the innermost on: as long as groups of items stand in equal steps, and all groups have as many,
    these are an axis, and the next is looked for among the groups' first items. What is left are the starts of blocks.
    """
    extents: list[int] = []
    strides: list[int] = []
    blocks = places
    while blocks.size > 1 and len(extents) < MAX_AXES - 1:
        extent, step = _innermost(blocks, width)
        if extent == 1:
            break
        extents.insert(0, extent)
        strides.insert(0, step // width)
        blocks = _firsts(blocks, extent, step)
    if blocks.min() < 0 or blocks.size * _START_BYTES > _MAX_STARTS_SHARE * places.size * width:
        return None
    offset = int(blocks.min())
    starts = tuple((blocks - offset).tolist()) if blocks.size > 1 else ()
    return offset, Layout(tuple(extents), tuple(strides), starts)


def with_bounds(layout: Layout, limits: Sequence[int], zeros: npt.NDArray[np.bool_]) -> Layout:
    """The layout with those of the limits that nothing but zeros lies beyond, where anything does.

    `limits` are where the axes of a tensor of the base end, in items: its strides, and its size. `zeros` are the items of
    the new tensor that may lie beyond.
    """
    if layout.starts:
        return layout
    bounds = [limit for limit in limits if (beyond := _beyond(layout, limit)) is not None and zeros[beyond].all()]
    return replace(layout, bounds=tuple(bounds))


def _beyond(layout: Layout, bound: int) -> npt.NDArray[np.bool_] | None:
    """Which items the axes with strides below a bound lead to it or beyond; nothing where these are none or all of them."""
    taken = np.zeros(1, np.int64)
    for extent, stride in zip(layout.extents, layout.strides, strict=True):
        steps = np.arange(extent) * (stride if stride < bound else 0)
        taken = (taken[:, None] + steps).ravel()
    beyond = taken >= bound
    return beyond if beyond.any() and not beyond.all() else None


def _innermost(places: Places, width: int) -> tuple[int, int]:
    """How many places stand in equal steps throughout, and the step: as many as possible. 1 where none do."""
    some = places[:_CHUNK_ITEMS]
    known = (some[1:] >= 0) & (some[:-1] >= 0)
    distinct, counts = np.unique(np.diff(some)[known], return_counts=True)
    for step in distinct[np.argsort(-counts, kind="stable")[:_STEPS_TRIED]].tolist():
        extent = _extent(places, step) if step > 0 and step % width == 0 else 1
        if extent > 1:
            return extent, step
    return 1, 0


def _extent(places: Places, step: int) -> int:
    """The largest size of equal groups within which all known places go in these steps.

    Where two places that follow one another do not, the second begins a group, so its number is a multiple of the size;
    where others lie between them that are not known, one of these begins one.
    """
    size, before, after = places.size, [], []
    last = np.empty(0, np.int64)
    for at in range(0, places.size, _CHUNK_ITEMS):
        known = np.concatenate([last, np.flatnonzero(places[at : at + _CHUNK_ITEMS] >= 0) + at])
        broken = np.diff(places[known]) != np.diff(known) * step
        one, other = known[:-1][broken], known[1:][broken]
        apart = other - one > 1
        size = int(np.gcd.reduce(np.unique(other[~apart] % size), initial=size))
        if size == 1:
            return 1
        before.append(one[apart])
        after.append(other[apart])
        last = known[-1:]
    ones, others = np.concatenate(before), np.concatenate(after)
    return next(extent for extent in _divisors(size) if (ones // extent < others // extent).all())


def _divisors(number: int) -> list[int]:
    """All of them, the largest first; the last is 1."""
    small = [divisor for divisor in range(1, isqrt(number) + 1) if number % divisor == 0]
    return sorted({*small, *(number // divisor for divisor in small)}, reverse=True)


def _firsts(places: Places, extent: int, step: int) -> Places:
    """Where each group of `extent` starts by what is known of it; -1 where nothing is, or where it starts nowhere."""
    firsts = np.full(places.size // extent, -1, np.int64)
    for at in range(0, places.size, _CHUNK_ITEMS):
        known = np.flatnonzero(places[at : at + _CHUNK_ITEMS] >= 0) + at
        firsts[known // extent] = places[known] - known % extent * step
    return np.maximum(firsts, -1)


def runs_of(places: Places, width: int, min_bytes: int) -> Iterator[Run]:
    """The tensor in runs of at least `min_bytes`, and the stretches between them, whose places do not matter."""
    ends = np.flatnonzero((np.diff(places) != width) | (places[1:] < 0)) + 1
    edges = np.concatenate([[0], ends, [places.size]])
    lengths = np.diff(edges) * width
    long = (lengths >= min_bytes) & (places[edges[:-1]] >= 0)
    at = 0
    for first, length in zip((edges[:-1][long] * width).tolist(), lengths[long].tolist(), strict=True):
        if first > at:
            yield Run(at, first - at, None)
        yield Run(first, length, int(places[first // width]))
        at = first + length
    if at < places.size * width:
        yield Run(at, places.size * width - at, None)


def in_items(layout: Layout, items: int) -> Layout:
    """A layout of words as one of what these consist of, `items` in each."""
    *extents, innermost = layout.extents
    *strides, step = (stride * items for stride in layout.strides)
    if step == items:
        return replace(layout, extents=(*extents, innermost * items), strides=(*strides, 1))
    return replace(layout, extents=(*layout.extents, items), strides=(*strides, step, 1))
