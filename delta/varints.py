"""LEB128 integers in bulk: the index of a patch may hold a hundred thousand of them.

Unsigned, at most nine bytes each (63 bits), as in DWARF 5 section 7.6. Signed values are folded first (zigzag), so that
small magnitudes stay short.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from delta.arrays import Items, Octets, unsigned
from delta.errors import PatchMalformed

Integers = npt.NDArray[np.int64]
MAX_BYTES = 9
MAX_ITEM_BYTES = 10
"""Of 64 bits."""
_MORE = 0x80
_CHUNK_BYTES = 1 << 16


def encode(values: list[int]) -> bytes:
    """Values in 0 .. 2^63 - 1, one after the other."""
    coded = bytearray()
    for value in values:
        rest = value
        while rest >= 0x80:
            coded.append(rest & 0x7F | 0x80)
            rest >>= 7
        coded.append(rest)
    return bytes(coded)


class Reader:
    """Takes integers, each in 0 .. 2^63 - 1, from the front of their bytes.

    They are decoded when they are asked for, some ten thousand at a time, because an array of all would take eight
    times the bytes.
    """

    def __init__(self, coded: Octets) -> None:
        """Raise `PatchMalformed` where the last one is cut."""
        if coded.size and coded[-1] >= _MORE:
            raise PatchMalformed("the index ends inside an integer")
        self.rest = coded

    @property
    def left(self) -> int:
        """How many there are."""
        chunks = range(0, self.rest.size, _CHUNK_BYTES)
        return sum(int(np.count_nonzero(self.rest[at : at + _CHUNK_BYTES] < _MORE)) for at in chunks)

    def take(self, count: int) -> Integers:
        """The next `count`.

        Raises:
            PatchMalformed: there are fewer, or one is longer than nine bytes.
        """
        if count > self.rest.size:
            raise PatchMalformed("the index has fewer numbers than it needs")
        values = np.empty(count, np.int64)
        at = 0
        while at < count:
            chunk = self.rest[:_CHUNK_BYTES]
            ends = np.flatnonzero(chunk < _MORE)[: count - at]
            if ends.size == 0:
                raise PatchMalformed("the index has fewer numbers than it needs, or one that is too long")
            values[at : at + ends.size] = _decoded(chunk, ends)
            self.rest = self.rest[int(ends[-1]) + 1 :]
            at += ends.size
        return values

    def one(self) -> int:
        """The next one."""
        return int(self.take(1)[0])

    def rows(self, count: int, width: int) -> list[list[int]]:
        """The next `count` times `width`."""
        rows: list[list[int]] = self.take(count * width).reshape(-1, width).tolist()
        return rows


def decode(coded: Octets) -> Integers:
    """All integers in `coded`; see `Reader`."""
    reader = Reader(coded)
    return reader.take(reader.left)


def from_items(items: Items) -> Octets:
    """Integers of any type as protobuf writes them: negative ones as 64 bits, so at most ten bytes each."""
    bits = items.astype(f"<{items.dtype.kind}8").view(np.uint64)
    lengths = np.ones(bits.size, np.int64)
    for place in range(1, MAX_ITEM_BYTES):
        lengths += bits >= np.uint64(1 << (7 * place))
    starts = np.cumsum(lengths) - lengths
    coded = np.empty(int(lengths.sum()), np.uint8)
    for place in range(int(lengths.max(initial=0))):
        rows = np.flatnonzero(lengths > place)
        more = np.where(lengths[rows] > place + 1, _MORE, 0)
        coded[starts[rows] + place] = (bits[rows] >> np.uint64(7 * place) & np.uint64(0x7F)) | more.astype(np.uint64)
    return coded


def to_items(coded: Octets, kind: np.dtype[Any]) -> Items:
    """The lowest bits of each integer, as a type of that width.

    Raises:
        PatchMalformed: one is longer than ten bytes, or the last is cut.
    """
    ends = np.flatnonzero(coded < _MORE)
    if coded.size and (ends.size == 0 or ends[-1] != coded.size - 1):
        raise PatchMalformed("the last varint is cut")
    starts = np.concatenate((np.zeros(1, np.int64), ends[:-1] + 1))[: ends.size]
    lengths = ends - starts + 1
    if int(lengths.max(initial=0)) > MAX_ITEM_BYTES:
        raise PatchMalformed(f"a varint has more than {MAX_ITEM_BYTES} bytes")
    bits = np.zeros(ends.size, np.uint64)
    for place in range(int(lengths.max(initial=0))):
        rows = np.flatnonzero(lengths > place)
        bits[rows] |= (coded[starts[rows] + place] & 0x7F).astype(np.uint64) << np.uint64(7 * place)
    return bits.astype(unsigned(kind.itemsize)).view(kind)


def _decoded(coded: Octets, ends: Integers) -> Integers:
    """The integers whose last bytes stand at `ends`, the first one from the beginning on."""
    starts = np.concatenate((np.zeros(1, np.int64), ends[:-1] + 1))
    lengths = ends - starts + 1
    longest = int(lengths.max())
    if longest > MAX_BYTES:
        raise PatchMalformed(f"an integer of the index has {longest} bytes, at most {MAX_BYTES} are allowed")
    values = np.zeros(ends.size, np.int64)
    for place in range(longest):
        rows = np.flatnonzero(lengths > place)
        values[rows] |= (coded[starts[rows] + place] & 0x7F).astype(np.int64) << (7 * place)
    return values


def fold(value: int) -> int:
    """Signed to unsigned: 0, -1, 1, -2, ... become 0, 1, 2, 3, ..."""
    return value << 1 if value >= 0 else (-value << 1) - 1


def unfold(value: int) -> int:
    """The inverse of `fold`."""
    return -((value + 1) >> 1) if value & 1 else value >> 1
