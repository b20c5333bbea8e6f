"""LEB128 integers in bulk: the index of a patch may hold a hundred thousand of them.

Unsigned, at most nine bytes each (63 bits), as in DWARF 5 section 7.6. Signed values are folded first (zigzag), so that
small magnitudes stay short.
"""

import numpy as np
import numpy.typing as npt

from delta.arrays import Octets
from delta.errors import PatchMalformed

Integers = npt.NDArray[np.int64]
MAX_BYTES = 9


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


def decode(coded: Octets) -> Integers:
    """All integers in `coded`, each in 0 .. 2^63 - 1.

    Raises:
        PatchMalformed: the last one is cut, or one is longer than nine bytes.
    """
    if coded.size == 0:
        return np.empty(0, np.int64)
    ends = np.flatnonzero(coded < 0x80)
    if ends.size == 0 or ends[-1] != coded.size - 1:
        raise PatchMalformed("the index ends inside an integer")
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
