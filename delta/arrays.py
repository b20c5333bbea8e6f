"""Array types, the item types a stream may hold, and exact integer views of IEEE 754 floats.

Everything here is integer arithmetic modulo 2^n, so it gives the same bytes on every processor.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Octets = npt.NDArray[np.uint8]
Items = npt.NDArray[Any]

ITEM_NAMES = ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8")
"""Item types by their number in the format; little-endian. Append only."""

ITEM_TYPES: tuple[np.dtype[Any], ...] = tuple(np.dtype(f"<{name}") for name in ITEM_NAMES)


def unsigned(width: int) -> np.dtype[Any]:
    """The little-endian unsigned integer of `width` bytes (1, 2, 4 or 8)."""
    return np.dtype(f"<u{width}")


def octets(items: Items) -> Octets:
    """The little-endian bytes of a contiguous array, without a copy."""
    return np.ascontiguousarray(items).view(np.uint8)


def ordered(bits: Items) -> Items:
    """IEEE 754 bit patterns (unsigned, any width) to integers in the order of the numbers they mean.

    Negative numbers (sign bit set) are complemented, the others get the sign bit set: a bijection, NaNs included.
    Neighbouring floats get neighbouring integers, so a small change of a weight is a small difference.
    """
    sign = bits.dtype.type(1 << (8 * bits.dtype.itemsize - 1))
    return np.where(bits & sign, ~bits, bits | sign)


def unordered(ranks: Items) -> Items:
    """The inverse of `ordered`."""
    sign = ranks.dtype.type(1 << (8 * ranks.dtype.itemsize - 1))
    return np.where(ranks & sign, ranks ^ sign, ~ranks)
