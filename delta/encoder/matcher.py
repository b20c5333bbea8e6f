"""Which byte ranges of the new file stand in the base already: copy operations for all that is no tensor.

Blocks of the base are indexed by a 64-bit polynomial hash; the new file is hashed at every position, a few megabytes at
a time, and hits are compared byte for byte and extended both ways. Time is linear in both files. Nothing is random:
same files, same matches.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from delta.arrays import Octets

_MULTIPLIER = 0x9E3779B97F4A7C15
"""2^64 divided by the golden ratio: odd, with its bits spread (Knuth, The Art of Computer Programming 3, section
6.4)."""
_CHUNK = 1 << 22
_FILTER_BITS = 24

Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Match:
    """`length` bytes at `target` of the new file equal those at `base` of the base."""

    target: int
    base: int
    length: int


def rolling_hashes(plain: Octets, width: int) -> Hashes:
    """The polynomial hash of every `width` bytes (a power of two) of `plain`, modulo 2^64, by doubling."""
    hashes = plain.astype(np.uint64)
    factor = _MULTIPLIER
    step = 1
    while step < width:
        hashes = hashes[:-step] * np.uint64(factor) + hashes[step:]
        factor = factor * factor % (1 << 64)
        step *= 2
    return hashes


class Matcher:
    """Finds ranges of the base in pieces of the new file."""

    def __init__(self, base: Octets) -> None:
        self._base = base
        self._width, self._stride = _granularity(base.size)

    def matches(self, new: Octets, start: int, end: int, expected_base: int) -> Iterator[Match]:
        """Matches within `new[start:end]`, in order and apart.

        `expected_base` is tried first: it is where the base would go on.
        """
        at = start
        first = self._extend(new, start, expected_base, start, end)
        if first is not None and first.length >= self._width:
            yield first
            at = first.target + first.length
        for hit, base in self._hits(new, at, end):
            if hit < at:
                continue
            match = self._extend(new, hit, base, at, end)
            if match is not None and match.length >= self._width:
                yield match
                at = match.target + match.length

    @cached_property
    def _index(self) -> "_Index":
        """Built when something first needs looking up: a fine-tune's graph is often found where it is expected."""
        return _Index(self._base, self._width, self._stride)

    def _hits(self, new: Octets, start: int, end: int) -> Iterator[tuple[int, int]]:
        for chunk in range(start, end - self._width + 1, _CHUNK):
            hashes = rolling_hashes(new[chunk : min(chunk + _CHUNK + self._width - 1, end)], self._width)
            positions, offsets = self._index.find(hashes)
            yield from zip((positions + chunk).tolist(), offsets.tolist(), strict=True)

    def _extend(self, new: Octets, target: int, base: int, low: int, high: int) -> Match | None:
        if not 0 <= base <= self._base.size:
            return None
        ahead = _common_prefix(new[target:high], self._base[base:])
        behind = _common_prefix(new[low:target][::-1], self._base[:base][::-1])
        return Match(target - behind, base - behind, ahead + behind)


def _granularity(size: int) -> tuple[int, int]:
    """Bytes hashed at once, and the distance between indexed positions of the base, by its size."""
    if size <= 1 << 23:
        return 16, 1
    return (32, 8) if size <= 1 << 26 else (32, 32)


class _Index:
    """The hash of every `stride`-th block of the base: distinct ones in rising order, with the first offset of each."""

    def __init__(self, base: Octets, width: int, stride: int) -> None:
        parts = [
            rolling_hashes(base[start : start + _CHUNK + width - 1], width)[::stride].copy()
            for start in range(0, base.size - width + 1, _CHUNK)
        ]
        hashes = np.concatenate(parts) if parts else np.empty(0, np.uint64)
        self._hashes, first = np.unique(hashes, return_index=True)
        self._offsets: Places = first * stride
        self._filter = np.zeros(1 << _FILTER_BITS, np.bool_)
        self._filter[_slots(self._hashes)] = True

    def find(self, hashes: Hashes) -> tuple[Places, Places]:
        """The positions in `hashes` whose hash the base has, and the offset there of each."""
        candidates = np.flatnonzero(self._filter[_slots(hashes)])
        if candidates.size == 0:
            return candidates, candidates
        places = np.minimum(np.searchsorted(self._hashes, hashes[candidates]), self._hashes.size - 1)
        equal = self._hashes[places] == hashes[candidates]
        return candidates[equal], self._offsets[places[equal]]


def _slots(hashes: Hashes) -> Places:
    return (hashes >> np.uint64(64 - _FILTER_BITS)).astype(np.int64)


def _common_prefix(one: Octets, other: Octets) -> int:
    """How many bytes both begin with; compares in doubling steps, so a long run costs little more than reading it."""
    size = min(one.size, other.size)
    at, step = 0, 64
    while at < size:
        stop = min(at + step, size)
        unequal = one[at:stop] != other[at:stop]
        if unequal.any():
            return at + int(unequal.argmax())
        at, step = stop, min(step * 2, _CHUNK)
    return size
