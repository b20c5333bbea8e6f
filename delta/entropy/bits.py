"""Bit fields of different widths, one after the other, least significant bit first, written and read in bulk."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from delta.entropy.symbols import MAX_RAW_BITS, Numbers

Words = npt.NDArray[np.uint64]


class ByteSource(Protocol):
    """Where coded bytes come from."""

    left: int

    def read_exactly(self, size: int) -> bytes: ...


def pack(values: Numbers, widths: Numbers) -> bytes:
    """`values` (int64, each below 2 ** its width, widths at most 32) as one bit string, padded to a whole byte."""
    total = int(widths.sum())
    if total == 0:
        return b""
    used = widths > 0
    fields = values[used].astype(np.uint64)
    starts = (np.cumsum(widths[used]) - widths[used]).astype(np.uint64)
    words = np.zeros(total // 64 + 2, np.uint64)
    places, offsets = starts >> np.uint64(6), starts & np.uint64(63)
    _merge(words, places, fields << offsets)
    _merge(words, places + np.uint64(1), (fields >> np.uint64(1)) >> (np.uint64(63) - offsets))
    return words.tobytes()[: -(-total // 8)]


def _merge(words: Words, places: Words, fields: Words) -> None:
    """OR `fields` into the words at `places`, which rise."""
    firsts = np.concatenate((np.zeros(1, np.int64), 1 + np.flatnonzero(places[1:] != places[:-1])))
    words[places[firsts]] |= np.bitwise_or.reduceat(fields, firsts)


_MASKS = (np.int64(1) << np.arange(MAX_RAW_BITS + 1)) - 1


def _pairs(kept: bytes) -> Numbers:
    """By each 32-bit word, 64 bits from there on: they hold any field that begins in it, which has at most 32 bits."""
    halves = np.frombuffer(kept + bytes(8 + -len(kept) % 4), "<u4").astype(np.int64)
    return halves[:-1] | halves[1:] << 32


class BitReader:
    """Reads what `pack` wrote, any number of fields at a time."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._kept = b""
        self._bit = 0

    def take(self, widths: Numbers) -> Numbers:
        """The next fields, int64.

        Raises:
            PatchMalformed: the bits end before.
        """
        ends = np.cumsum(widths)
        total = int(ends[-1]) if ends.size else 0
        if total == 0:
            return np.zeros(widths.size, np.int64)
        end = self._bit + total
        missing = -(-end // 8) - len(self._kept)
        if missing > 0:
            self._kept += self._source.read_exactly(missing)
        starts = ends - widths
        starts += self._bit
        fields = _pairs(self._kept).take(starts >> 5)
        starts &= 31
        fields >>= starts
        fields &= _MASKS.take(widths)
        self._kept = self._kept[end // 8 :]
        self._bit = end % 8
        return fields

    @property
    def exhausted(self) -> bool:
        """Whether no whole byte is left."""
        return self._source.left == 0 and len(self._kept) <= (1 if self._bit else 0)
