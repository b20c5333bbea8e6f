"""Layouts: in which order items of the base are taken, so that a transposed or permuted tensor is one span.

A layout is a block of axes with strides, and where in the base each block starts: one block for a transposition or a
blocked format, one for each gate of an LSTM whose gates stand in another order, one for each row of shuffled channels.
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
    starts, in bytes from the span's offset on. No starts: one block, which starts at the offset.
    """

    extents: tuple[int, ...]
    strides: tuple[int, ...]
    starts: tuple[int, ...] = ()

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
        return max(self.starts, default=0) + self._axes(width).reach_bytes(width)

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
        return _Axes(self.extents, tuple(stride * width for stride in self.strides))

    def _blocks(self, low: int, high: int) -> Iterator[tuple[int | _Offsets, int, int]]:
        """The parts of blocks that lie in a range of items: start, first item and end, counted in the block.

        Whole blocks whose items stand together in the base come all at once, with their starts.
        """
        if not self.starts:
            yield 0, low, high
            return
        size = prod(self.extents)
        whole = range(-(-low // size), high // size)
        if self.strides == (1,) and len(whole) > 1:
            if low % size:
                yield self.starts[low // size], low % size, size
            yield np.array(self.starts[whole.start : whole.stop], np.int64), 0, len(whole) * size
            if high % size:
                yield self.starts[high // size], 0, high % size
            return
        edges = [low, *range((low // size + 1) * size, high, size), high]
        for one, other in pairwise(edges):
            yield self.starts[one // size], one % size, one % size + other - one


class _Axes(NamedTuple):
    """A block's axes with strides in bytes."""

    extents: tuple[int, ...]
    strides: tuple[int, ...]

    def reach_bytes(self, width: int) -> int:
        return sum((extent - 1) * stride for extent, stride in zip(*self, strict=True)) + width

    def inner(self) -> "_Axes":
        return _Axes(self.extents[1:], self.strides[1:])

    def with_rows(self, axis: int, rows: int, stride: int) -> "_Axes":
        """As many rows along an axis, so far apart."""
        extents = (*self.extents[:axis], rows, *self.extents[axis + 1 :])
        return _Axes(extents, (*self.strides[:axis], stride, *self.strides[axis + 1 :]))


def _gather_range(read: Read, target: _Items, offset: int, axes: _Axes, low: int) -> None:
    """Fill `target` with the items from `low` on of a block: whole boxes, and what is left at either end."""
    stride = axes.strides[0]
    inner = prod(axes.extents[1:])
    if len(axes.extents) == 1:
        _gather_box(read, target, offset + low * stride, axes.with_rows(0, target.size, stride))
        return
    head = min(-low % inner, target.size)
    if head:
        _gather_range(read, target[:head], offset + low // inner * stride, axes.inner(), low % inner)
    whole, tail = divmod(target.size - head, inner)
    at = offset + (low + head) // inner * stride
    if whole:
        box = axes.with_rows(0, whole, stride)
        _gather_box(read, target[head : head + whole * inner].reshape(box.extents), at, box)
    if tail:
        _gather_range(read, target[target.size - tail :], at + whole * stride, axes.inner(), 0)


def _gather_box(read: Read, target: _Items, offset: int, box: _Axes) -> None:
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
        part = box.with_rows(axis, min(rows, extent - row), stride)
        _gather_box(read, target[_rows(axis, row, rows)], offset + row * stride, part)


def _gather_apart(read: Read, target: _Items, offset: int, box: _Axes, axis: int) -> None:
    """Fill `target` from rows that lie far apart along `axis`: read each, then order as many as the buffer holds."""
    stride, extent = box.strides[axis], box.extents[axis]
    row_bytes = box.reach_bytes(target.itemsize) - (extent - 1) * stride
    together = _BUFFER_BYTES // row_bytes
    for row in range(0, extent, together):
        rows = min(together, extent - row)
        buffer = np.concatenate([read(offset + (row + one) * stride, row_bytes) for one in range(rows)])
        part = box.with_rows(axis, rows, row_bytes)
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
