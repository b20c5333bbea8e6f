"""Tensors that resemble each other: sampled values correlate, as they stand, with axes permuted, or block by block.

A fine-tuned tensor keeps its name in most releases, and its values nearly, whatever its name. Of every tensor some
thousand values are looked at, always at the same places, so that comparing two is one product of vectors.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import permutations
from math import prod, sqrt

import numpy as np
import numpy.typing as npt

from delta.arrays import ITEM_TYPES, Items
from delta.encoder.tensors import TensorRef
from delta.layouts import MAX_AXES, Layout

SAMPLE_ITEMS = 1 << 10
MIN_ITEMS = 32
"""Of fewer values, chance makes some pair alike."""
MIN_LIKENESS = 0.5
"""At a correlation of 0.5 the old value saves 0.2 bits a weight, -log2(1 - 0.25) / 2; below that, next to nothing."""
UNLIKE = 0.1
"""Tensors of one name with less in common were trained anew."""
_CERTAIN = 5.0
"""How many standard deviations of an unrelated sample's correlation, 1 / sqrt(items), count as no chance."""
MIN_KEPT = 0.5
"""How much of a tensor with other extents must come from the old one."""
_MAX_PERMUTED_AXES = 4
_BLOCKS = (4, 3, 8, 6, 2)
"""Parts that may stand in another order: gates of an LSTM, of a GRU, those of two directions, the directions."""
_MAX_CANDIDATES_IN_BLOCKS = 64
_GOLDEN = 0x9E3779B97F4A7C15
_BFLOAT16 = 16
_FLOAT8 = frozenset({17, 18, 19, 20})

Places = npt.NDArray[np.int64]
Sample = npt.NDArray[np.float32]
"""Of mean 0 and length 1, so that a product is a correlation; all 0 where the values are all the same."""
Dims = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Likeness:
    """A tensor of the base in a layout, and how well its sampled values correlate; `None` where either is constant."""

    old: TensorRef
    layout: Layout | None
    correlation: float | None

    @property
    def convincing(self) -> bool:
        """Whether the correlation is neither chance nor useless."""
        enough = max(MIN_LIKENESS, _CERTAIN / sqrt(min(self.old.items, SAMPLE_ITEMS)))
        return self.correlation is not None and self.correlation >= enough


class Likenesses:
    """Compares a tensor with tensors of the base that have as many items, whose values `values` gives."""

    def __init__(self, values: Callable[[TensorRef], Items]) -> None:
        self._values = values
        self._sampled: dict[tuple[tuple[TensorRef, ...], Dims, int], _Sampled] = {}

    def best(self, tensor: TensorRef, items: Items, candidates: Sequence[TensorRef]) -> Likeness:
        """The likeliest of some candidates, as it stands or with its axes permuted."""
        sample = _sample(items, sampled_places(items.size, 1), tensor.data_type)[0]
        sampled = self._of(candidates, tensor, 1)
        likeliest = _likeliest(sampled.rows @ sample)
        known = bool(sample.any() and sampled.rows[likeliest].any())
        old, layout = sampled.which[likeliest]
        return Likeness(old, layout, float(sampled.rows[likeliest] @ sample) if known else None)

    def best_in_blocks(self, tensor: TensorRef, items: Items, candidates: Sequence[TensorRef]) -> Likeness | None:
        """The likeliest whose blocks along the first axis stand in another order, if it is alike beyond chance."""
        found = [
            likeness
            for blocks in _BLOCKS
            if items.size % blocks == 0 and items.size // blocks >= MIN_ITEMS
            if (likeness := self._best_in(blocks, tensor, items, candidates)) is not None and likeness.convincing
        ]
        return max(found, key=lambda likeness: likeness.correlation or 0.0, default=None)

    def resized(self, tensor: TensorRef, items: Items, old: TensorRef) -> Likeness | None:
        """A tensor whose axes have other extents, as where classes were added: alike in what both have, zero elsewhere."""
        layout = grown(old.dims, tensor.dims)
        if layout is None or layout.items != items.size:
            return None
        kept = tuple(map(min, zip(old.dims, tensor.dims, strict=True)))
        if prod(kept) < max(MIN_KEPT * items.size, MIN_ITEMS):
            return None
        places = sampled_places(prod(kept), 1)
        samples = [
            _sample(values, _along(replace(as_laid(dims), extents=kept), places), old.data_type)[0]
            for values, dims in ((items, tensor.dims), (self._values(old), old.dims))
        ]
        known = all(sample.any() for sample in samples)
        return Likeness(old, layout, float(samples[0] @ samples[1])) if known else None

    def _best_in(
        self, blocks: int, tensor: TensorRef, items: Items, candidates: Sequence[TensorRef]
    ) -> Likeness | None:
        """Every block of the tensor is compared with every block of a candidate; the least alike of the best counts."""
        sampled = self._of(candidates[:_MAX_CANDIDATES_IN_BLOCKS], tensor, blocks)
        if not sampled.which:
            return None
        sample = _sample(items, sampled_places(items.size, blocks), tensor.data_type)
        likenesses = (sample @ sampled.rows.T).reshape(blocks, -1, blocks)
        worst = likenesses.max(axis=2).min(axis=0)
        likeliest = _likeliest(worst)
        old, layout = sampled.which[likeliest]
        order = [_likeliest(row) for row in likenesses[:, likeliest]]
        return Likeness(old, _reordered(layout or as_it_stands((items.size,)), order, old), float(worst[likeliest]))

    def _of(self, candidates: Sequence[TensorRef], tensor: TensorRef, blocks: int) -> "_Sampled":
        """What tensors of one form are compared with, made once."""
        key = (tuple(candidates), tensor.dims, blocks)
        if key not in self._sampled:
            which = [
                (old, layout)
                for old in candidates
                for layout in (None, *_layouts(old, tensor))
                if layout is None or layout.extents[0] % blocks == 0
            ]
            rows = [self._rows(old, layout, blocks) for old, layout in which]
            self._sampled[key] = _Sampled(which, np.concatenate(rows) if rows else np.empty((0, 0), np.float32))
        return self._sampled[key]

    def _rows(self, old: TensorRef, layout: Layout | None, blocks: int) -> Sample:
        """A row for each block of a tensor of the base in the order of a layout with one block."""
        places = sampled_places(old.items, blocks)
        return _sample(self._values(old), places if layout is None else _along(layout, places), old.data_type)


@dataclass(frozen=True, slots=True)
class _Sampled:
    """Tensors of the base in layouts; `rows` are their samples, one after the other, as many of each as it has blocks."""

    which: list[tuple[TensorRef, Layout | None]]
    rows: Sample


def _reordered(layout: Layout, order: Sequence[int], old: TensorRef) -> Layout:
    """A layout's equal parts along its first axis in another order, in which some may be missing."""
    rows = layout.extents[0] // len(order)
    block_bytes = rows * layout.strides[0] * ITEM_TYPES[old.item].itemsize
    return Layout((rows, *layout.extents[1:]), layout.strides, tuple(place * block_bytes for place in order))


def _layouts(old: TensorRef, tensor: TensorRef) -> tuple[Layout, ...]:
    """In which orders of its axes a tensor may be another; none where an item of a file is two of the tensor's."""
    return permuted(old.dims, tensor.dims) if prod(tensor.dims) == tensor.items else ()


@cache
def permuted(old: Dims, new: Dims) -> tuple[Layout, ...]:
    """The layouts that permute the axes of `old` so that they have the extents of `new`; axes of one item aside."""
    old_extents, new_extents = _without_ones(old), _without_ones(new)
    if sorted(old_extents) != sorted(new_extents) or not 1 < len(new_extents) <= _MAX_PERMUTED_AXES:
        return ()
    strides = as_it_stands(old_extents).strides
    orders = list(permutations(range(len(old_extents))))[1:]
    return tuple(
        Layout(new_extents, tuple(strides[axis] for axis in order))
        for order in orders
        if tuple(old_extents[axis] for axis in order) == new_extents
    )


def as_it_stands(dims: Dims) -> Layout:
    """The layout that changes nothing; axes of one item aside."""
    return as_laid(_without_ones(dims) or (1,))


def as_laid(dims: Dims) -> Layout:
    """The layout that changes nothing, with all axes."""
    return Layout(dims, tuple(prod(dims[axis + 1 :]) for axis in range(len(dims))))


def grown(old: Dims, new: Dims) -> Layout | None:
    """The layout of a tensor with other extents along the same axes: cut where they are less, zero where they are more."""
    if len(old) != len(new) or not 0 < len(new) <= MAX_AXES or old == new or 0 in old:
        return None
    more = [axis for axis in range(len(new)) if new[axis] > old[axis]]
    if any(old[axis] == 1 for axis in more):
        return None
    bounds = {prod(old[axis:]) for axis in more}
    return Layout(new, as_laid(old).strides, (), tuple(sorted(bounds)))


def _without_ones(dims: Dims) -> Dims:
    return tuple(extent for extent in dims if extent != 1)


@cache
def sampled_places(items: int, blocks: int) -> Places:
    """Numbers of items to look at, int64, a row for each of equal blocks: the same ones in each, spread irregularly."""
    size = items // blocks
    if size * blocks <= SAMPLE_ITEMS:
        chosen = np.arange(size, dtype=np.int64)
    else:
        spread = np.arange(SAMPLE_ITEMS // blocks, dtype=np.uint64) * np.uint64(_GOLDEN)
        chosen = ((spread >> np.uint64(32)) * np.uint64(size) >> np.uint64(32)).astype(np.int64)
    return np.arange(blocks, dtype=np.int64)[:, None] * size + chosen


def _along(layout: Layout, places: Places) -> Places:
    """Where the items with these numbers stand in the order of a layout with one block."""
    digits = np.unravel_index(places, layout.extents)
    found: Places = sum(
        (digit * stride for digit, stride in zip(digits, layout.strides, strict=True)), start=0 * places
    )
    return found


def _likeliest(correlations: Sample) -> int:
    """The first of the highest, to a thousandth: how a processor adds up floats must not decide what a patch holds."""
    return int(np.rint(correlations * 1000).argmax())


def _sample(items: Items, places: Places, data_type: int) -> Sample:
    """Rows of values, squeezed into -1 to 1 so that a few large ones do not speak for all."""
    numbers = as_numbers(items[places], data_type)
    sizes = np.abs(numbers)
    numbers /= sizes + np.maximum(sizes.mean(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    numbers -= numbers.mean(axis=1, keepdims=True)
    lengths = np.sqrt(np.square(numbers).sum(axis=1, keepdims=True))
    sample: Sample = np.divide(numbers, lengths, out=np.zeros_like(numbers), where=lengths > 1e-9).astype(np.float32)
    return sample


def as_numbers(items: Items, data_type: int) -> npt.NDArray[np.float64]:
    """The numbers that items of an ONNX data type mean, nearly: what is no finite number is 0; float8 by its code."""
    if data_type == _BFLOAT16:
        items = (items.astype("<u4") << 16).view("<f4")
    elif data_type in _FLOAT8:
        magnitudes = (items & 0x7F).astype(np.int16)
        items = np.where(items & 0x80, -magnitudes, magnitudes)
    with np.errstate(all="ignore"):
        numbers: npt.NDArray[np.float64] = items.astype(np.float64)
    numbers[~(np.abs(numbers) < 1e100)] = 0
    return numbers
