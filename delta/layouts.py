"""Layouts: in which order items of the base are taken, so that a transposed or permuted tensor is one span.

A layout is a block of axes with strides, and where in the base each block starts: one block for a transposition or a
blocked format, one for each gate of an LSTM whose gates stand in another order, one for each row of shuffled channels.
Blocked formats pad with zeros what is no whole number of blocks: bounds say where the base's axes end.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from delta.arrays import Octets, unsigned
from delta.errors import PatchMalformed

MAX_AXES = 8
_MAX_EXTENT = 1 << 62
_BUFFER_BYTES = 1 << 20
"""The most of the base that is held at once while items are gathered."""
_READ_BYTES = 4096
"""A read costs about as much as copying this many bytes: holes smaller than that are read and dropped."""
_AHEAD_BYTES = 2 << 20

_Items = npt.NDArray[np.unsignedinteger]
_Offsets = npt.NDArray[np.int64]
Read = Callable[[int, int], Octets]
"""Bytes of the base: an offset and a length. Checks both."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Axes of one block of the output, outermost first, and the blocks that follow one another.

    `extents` are in items; `strides` are distances in items of the base; `starts` say where in the base each block
    starts, in bytes from the span's offset on. No starts: one block, which starts at the offset. `bounds`, in items of the
    base: where the axes whose strides are below one of them lead to it or beyond, the item is zero and nothing is read.
    """

    extents: tuple[int, ...]
    strides: tuple[int, ...]
    starts: tuple[int, ...] = ()
    bounds: tuple[int, ...] = ()

    def check(self) -> None:
        """Raise `PatchMalformed` where it has no axes, too many, or takes more than 2^62 items."""
        if not 0 < len(self.extents) <= MAX_AXES or 0 in self.extents:
            raise PatchMalformed("a layout has no axes, too many, or an empty one")
        if self.items >= _MAX_EXTENT or self.reach_bytes(8) >= _MAX_EXTENT or min(self.starts, default=0) < 0:
            raise PatchMalformed("a layout is too large, or has a block that starts before it")

    @property
    def items(self) -> int:
        """How many items all its blocks have."""
        return prod(self.extents) * max(len(self.starts), 1)

    def reach_bytes(self, width: int) -> int:
        """How many bytes of the base, from the span's offset on, it stays within; for items of `width` bytes."""
        reach = self._axes(width).reach_bytes(width)
        of_all = [bound * width for bound in self.bounds if bound > max(self.strides)]
        return max(self.starts, default=0) + min([reach, *of_all])

    def gather(self, read: Read, offset: int, width: int, first: int, count: int) -> Octets:
        """The items `first` to `first + count` of the output, as bytes, taken from the base at `offset`.

        Memory is what is returned and `_BUFFER_BYTES`.

        Raises:
            PatchMalformed: there are fewer.
        """
        if first + count > self.items:
            raise PatchMalformed("a span takes more items than its layout has")
        gathered = np.empty(count, unsigned(width))
        at = 0
        for start, low, high in self._blocks(first, first + count):
            target = gathered[at : at + high - low]
            if isinstance(start, int):
                _gather_range(read, target, offset + start, self._axes(width), low)
            else:
                _gather_runs(read, target, offset + start, prod(self.extents) * width)
            at += high - low
        return gathered.view(np.uint8)

    def _axes(self, width: int) -> "_Axes":
        bounds = tuple(_Bound.of(bound, self.strides, width) for bound in self.bounds)
        return _Axes(self.extents, tuple(stride * width for stride in self.strides), bounds)

    def _blocks(self, low: int, high: int) -> Iterator[tuple[int | _Offsets, int, int]]:
        """The parts of blocks that lie in a range of items: start, first item and end, counted in the block.

        Whole blocks whose items stand together in the base come all at once, with their starts.
        """
        if not self.starts:
            yield 0, low, high
            return
        size = prod(self.extents)
        whole = range(-(-low // size), high // size)
        if self.strides == (1,) and not self.bounds and len(whole) > 1:
            if low % size:
                yield self.starts[low // size], low % size, size
            yield np.array(self.starts[whole.start : whole.stop], np.int64), 0, len(whole) * size
            if high % size:
                yield self.starts[high // size], 0, high % size
            return
        edges = [low, *range((low // size + 1) * size, high, size), high]
        for one, other in pairwise(edges):
            yield self.starts[one // size], one % size, one % size + other - one


class _Bound(NamedTuple):
    """How many bytes lie before a bound, and what a step along each axis takes of them: its stride or nothing."""

    left: int
    steps: tuple[int, ...]

    @classmethod
    def of(cls, bound: int, strides: tuple[int, ...], width: int) -> "_Bound":
        return cls(bound * width, tuple(stride * width if stride < bound else 0 for stride in strides))


class _Axes(NamedTuple):
    """A block's axes with strides in bytes, and its bounds."""

    extents: tuple[int, ...]
    strides: tuple[int, ...]
    bounds: tuple[_Bound, ...] = ()

    def reach_bytes(self, width: int) -> int:
        return sum((extent - 1) * stride for extent, stride in zip(self.extents, self.strides, strict=True)) + width

    def inner(self, row: int) -> "_Axes":
        """What lies in one row of the outermost axis."""
        bounds = tuple(_Bound(bound.left - row * bound.steps[0], bound.steps[1:]) for bound in self.bounds)
        return _Axes(self.extents[1:], self.strides[1:], bounds)

    def rows(self, axis: int, row: int, rows: int, stride: int) -> "_Axes":
        """Some of the rows along an axis, so far apart in bytes."""
        extents = (*self.extents[:axis], rows, *self.extents[axis + 1 :])
        bounds = tuple(_Bound(bound.left - row * bound.steps[axis], bound.steps) for bound in self.bounds)
        return _Axes(extents, (*self.strides[:axis], stride, *self.strides[axis + 1 :]), bounds)


def _gather_range(read: Read, target: _Items, offset: int, axes: _Axes, low: int) -> None:
    """Fill `target` with the items from `low` on of a block: whole boxes, and what is left at either end."""
    stride = axes.strides[0]
    inner = prod(axes.extents[1:])
    if len(axes.extents) == 1:
        _gather_box(read, target, offset + low * stride, axes.rows(0, low, target.size, stride))
        return
    head = min(-low % inner, target.size)
    if head:
        row = low // inner
        _gather_range(read, target[:head], offset + row * stride, axes.inner(row), low % inner)
    whole, tail = divmod(target.size - head, inner)
    row = (low + head) // inner
    if whole:
        box = axes.rows(0, row, whole, stride)
        _gather_box(read, target[head : head + whole * inner].reshape(box.extents), offset + row * stride, box)
    if tail:
        row += whole
        _gather_range(read, target[target.size - tail :], offset + row * stride, axes.inner(row), 0)


def _gather_box(read: Read, target: _Items, offset: int, box: _Axes) -> None:
    """Fill `target` with a box: what lies within all bounds from the base, what lies beyond one with zeros."""
    for bound in box.bounds:
        needed = sum((extent - 1) * step for extent, step in zip(box.extents, bound.steps, strict=True))
        if bound.left <= 0:
            target[...] = 0
            return
        if needed >= bound.left:
            _gather_bounded(read, target, offset, box, bound)
            return
    _gather_unbounded(read, target, offset, _Axes(box.extents, box.strides))


def _gather_bounded(read: Read, target: _Items, offset: int, box: _Axes, bound: _Bound) -> None:
    """Cut a box along the axis that leads over the bound: rows within it, the one across it, rows beyond it."""
    axis = max(range(len(box.extents)), key=lambda axis: bound.steps[axis] if box.extents[axis] > 1 else -1)
    stride, extent, step = box.strides[axis], box.extents[axis], bound.steps[axis]
    others = (
        sum((extent - 1) * step for extent, step in zip(box.extents, bound.steps, strict=True)) - (extent - 1) * step
    )
    within = max(-(-(bound.left - others) // step), 0)
    beyond = min(-(-bound.left // step), extent)
    edges = sorted({0, within, *range(within, beyond), beyond, extent})
    for row, end in pairwise(edges):
        part = box.rows(axis, row, end - row, stride)
        _gather_box(read, target[_rows(axis, row, end - row)], offset + row * stride, part)


def _gather_unbounded(read: Read, target: _Items, offset: int, box: _Axes) -> None:
    """Fill `target` from a box of the base, in reads that hold little else."""
    box_bytes = box.reach_bytes(target.itemsize)
    axis = max(range(len(box.extents)), key=lambda axis: box.strides[axis] if box.extents[axis] > 1 else -1)
    stride, extent = box.strides[axis], box.extents[axis]
    row_bytes = box_bytes - (extent - 1) * stride
    if box_bytes <= max(_BUFFER_BYTES, target.itemsize) and box_bytes <= extent * (row_bytes + _READ_BYTES):
        target[...] = np.ndarray(box.extents, target.dtype, read(offset, box_bytes), strides=box.strides)
        return
    rows = max((_BUFFER_BYTES - row_bytes) // stride + 1, 1) if stride <= row_bytes + _READ_BYTES else 1
    if rows == 1 and row_bytes < _BUFFER_BYTES:
        _gather_apart(read, target, offset, box, axis)
        return
    for row in range(0, extent, rows):
        part = box.rows(axis, row, min(rows, extent - row), stride)
        _gather_unbounded(read, target[_rows(axis, row, rows)], offset + row * stride, part)


def _gather_apart(read: Read, target: _Items, offset: int, box: _Axes, axis: int) -> None:
    """Fill `target` from rows that lie far apart along `axis`: read each, then order as many as the buffer holds."""
    stride, extent = box.strides[axis], box.extents[axis]
    row_bytes = box.reach_bytes(target.itemsize) - (extent - 1) * stride
    together = _BUFFER_BYTES // row_bytes
    for row in range(0, extent, together):
        rows = min(together, extent - row)
        buffer = np.concatenate([read(offset + (row + one) * stride, row_bytes) for one in range(rows)])
        part = box.rows(axis, row, rows, row_bytes)
        target[_rows(axis, row, rows)] = np.ndarray(part.extents, target.dtype, buffer, strides=part.strides)


def _rows(axis: int, row: int, rows: int) -> tuple[slice, ...]:
    return (*(slice(None),) * axis, slice(row, row + rows))


def _gather_runs(read: Read, target: _Items, starts: _Offsets, run_bytes: int) -> None:
    """Fill `target` with runs of bytes that start at offsets of the base; near ones are read at once."""
    low = int(starts.min())
    reach = int(starts.max()) - low + run_bytes
    runs = target.view(np.uint8).reshape(starts.size, run_bytes)
    if reach <= min(_BUFFER_BYTES, starts.size * (run_bytes + _READ_BYTES)):
        windows = np.ndarray((reach - run_bytes + 1,), f"V{run_bytes}", read(low, reach), strides=(1,))
        runs[...] = windows[starts - low].view(np.uint8).reshape(runs.shape)
        return
    for run, start in zip(runs, starts.tolist(), strict=True):
        run[...] = read(start, run_bytes)


class ReadAhead:
    """Gathers more than a piece asks for: the next piece of a transposed tensor stands beside this one in the base."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._layout: Layout | None = None
        self._place = (0, 0)
        self._first = 0
        self._gathered = np.empty(0, np.uint8)

    def items(self, layout: Layout, offset: int, width: int, first: int, count: int) -> Octets:
        """As `Layout.gather`; `_AHEAD_BYTES` are kept.

        Raises:
            PatchMalformed: the layout has fewer items.
        """
        at = (first - self._first) * width
        same = self._layout is layout and self._place == (offset, width)
        if not same or not 0 <= at <= self._gathered.size - count * width:
            ahead = max(count, min(_AHEAD_BYTES // width, layout.items - first))
            self._gathered = layout.gather(self._read, offset, width, first, ahead)
            self._layout, self._place, self._first, at = layout, (offset, width), first, 0
        return self._gathered[at : at + count * width]
