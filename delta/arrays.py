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
    mask = _spread_sign(bits)
    mask |= _sign_bit(bits)
    mask ^= bits
    return mask


def unordered(ranks: Items) -> Items:
    """The inverse of `ordered`."""
    mask = _spread_sign(ranks)
    np.invert(mask, out=mask)
    mask |= _sign_bit(ranks)
    mask ^= ranks
    return mask


def _spread_sign(bits: Items) -> Items:
    """All ones where the top bit is set, else zero: an arithmetic shift, several times as fast as a choice per item."""
    width = bits.dtype.itemsize
    spread: Items = (bits.view(f"<i{width}") >> (8 * width - 1)).view(bits.dtype)
    return spread


def _sign_bit(bits: Items) -> Items:
    width = bits.dtype.itemsize
    return np.array(1 << (8 * width - 1), bits.dtype)
