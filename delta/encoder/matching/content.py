"""Where single values of a tensor stand in the base: for tensors that were cut, joined, blocked or shuffled.

A weight of four bytes is nearly a fingerprint: of a million there are few twice. So some of the base's values, chosen by
their own bits, tell which tensors another one was made of, and then every value says where it came from. What stands
there more than once, such as zeros, is known by its neighbours. Narrower values are taken together, as words: what was
cut, joined or shuffled in rows keeps most of these, what was transposed does not. Time is that of sorting what is alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from delta.arrays import ITEM_TYPES, Items, Octets, unsigned
from delta.encoder.matching.arrangement import Places
from delta.encoder.tensors import TensorRef

_WORD_BYTES = {1: 8, 2: 4, 4: 4, 8: 8}
"""By the bytes of an item. Codes of 8 bits take few values, mostly near zero: four of them would be no fingerprint."""
_DENSE, _SPARSE = 4, 8
"""Values with so many leading zeros, once their bits are mixed, are looked up first: one in 16, one in 256."""
_LARGE_ITEMS = 1 << 14
"""Of tensors with more items, one value in 256 is enough."""
_GLANCE_ITEMS = 1 << 9
"""So many of these say whether to go on."""
_CHUNK_ITEMS = 1 << 20
_GOLDEN = 0x9E3779B97F4A7C15
MIN_SHARE = 0.5
"""Of the distinct values that are looked up first, how many the base must have, once."""


@dataclass(frozen=True, slots=True)
class _Known:
    """Values in rising order (unsigned), and where each stands."""

    values: Items
    offsets: Places

    @classmethod
    def of(cls, values: Items, offsets: Places) -> "_Known":
        order = np.argsort(values, kind="stable")
        return cls(values[order], offsets[order])

    def find(self, wanted: Items) -> Places:
        """Where each stands; -1 for what is not there, or more than once, and for zeros: they are put where nothing is."""
        found = np.full(wanted.size, -1, np.int64)
        for start in range(0, wanted.size if self.values.size else 0, _CHUNK_ITEMS):
            some = wanted[start : start + _CHUNK_ITEMS]
            order = np.argsort(some, kind="stable")  # a search in rising order stays in the processor's cache
            some = some[order]
            first = np.searchsorted(self.values, some)
            once = (np.searchsorted(self.values, some, "right") - first == 1) & (some != 0)
            found[start + order[once]] = self.offsets[first[once]]
        return found


def word_bytes(tensor: TensorRef) -> int:
    """How many bytes of a tensor are looked up together."""
    return _WORD_BYTES[ITEM_TYPES[tensor.item].itemsize]


class Contents:
    """The words of the base's tensors that are taken in words of `width` bytes."""

    def __init__(self, file: Octets, tensors: Sequence[TensorRef], width: int) -> None:
        self._file = file
        self._width = width
        self._tensors = [tensor for tensor in tensors if word_bytes(tensor) == width]
        self._starts = np.array([tensor.offset for tensor in self._tensors], np.int64)

    def places(self, content: Octets) -> Places | None:
        """Where the words of a tensor stand; nothing where the base does not have most of them."""
        values = self._words(content)
        for zeros in (_SPARSE,) if values.size > _LARGE_ITEMS else (_DENSE, _SPARSE):
            wanted = np.unique(values[_chosen(values, zeros)])
            glance = wanted[:: max(wanted.size // _GLANCE_ITEMS, 1)]
            if self._has_most(glance) and self._has_most(wanted):
                found = self._sampled.find(wanted)
                origins = np.unique(np.searchsorted(self._starts, found[found >= 0], "right") - 1)
                return self._known([self._tensors[origin] for origin in origins.tolist()]).find(values)
        return None

    def _has_most(self, wanted: Items) -> bool:
        found = int(np.count_nonzero(self._sampled.find(wanted) >= 0))
        return found > 0 and found >= MIN_SHARE * wanted.size

    def extended(self, places: Places, content: Octets) -> Places:
        """The same, with what is not known put beside its neighbours wherever it stands there too."""
        values = self._words(content)
        places = self._follow(places, values, self._width)
        return self._follow(places[::-1], values[::-1], -self._width)[::-1]

    def _follow(self, places: Places, values: Items, stride: int) -> Places:
        unknown = np.flatnonzero(places < 0)
        begins = np.diff(unknown, prepend=-2) > 1
        last = np.maximum.accumulate(np.where(begins, unknown, 0)) - 1
        unknown, last = unknown[last >= 0], last[last >= 0]
        guesses = places[last] + (unknown - last) * stride
        inside = (guesses >= 0) & (guesses <= self._file.size - self._width)
        unknown, guesses = unknown[inside], guesses[inside]
        there = np.ndarray((self._file.size - self._width + 1,), values.dtype, self._file, strides=(1,))
        right = there[guesses] == values[unknown]
        filled = places.copy()
        filled[unknown[right]] = guesses[right]
        return filled

    @cached_property
    def _sampled(self) -> _Known:
        values, offsets = [], []
        for tensor in self._tensors:
            items = self._values(tensor)
            chosen = _chosen(items, _SPARSE if items.size > _LARGE_ITEMS else _DENSE)
            values.append(items[chosen])
            offsets.append(tensor.offset + chosen * self._width)
        return _Known.of(_joined(values, unsigned(self._width)), _joined(offsets, np.dtype(np.int64)))

    def _known(self, tensors: Sequence[TensorRef]) -> _Known:
        words = [self._values(tensor) for tensor in tensors]
        offsets = [
            tensor.offset + np.arange(own.size, dtype=np.int64) * self._width
            for tensor, own in zip(tensors, words, strict=True)
        ]
        return _Known.of(np.concatenate(words), np.concatenate(offsets))

    def _values(self, tensor: TensorRef) -> Items:
        return self._words(self._file[tensor.offset : tensor.end])

    def _words(self, content: Octets) -> Items:
        """Whole ones only."""
        return content[: content.size // self._width * self._width].view(unsigned(self._width))


def _chosen(values: Items, zeros: int) -> Places:
    """The numbers of the items that are looked up first; the same values in every file."""
    bits = 8 * values.itemsize
    mixed = values * values.dtype.type(_GOLDEN >> (64 - bits) | 1)
    return np.flatnonzero(mixed < values.dtype.type(1 << (bits - zeros)))


def _joined(arrays: Sequence[Items], kind: np.dtype[np.generic]) -> Items:
    return np.concatenate(arrays) if arrays else np.empty(0, kind)
