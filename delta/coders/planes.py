"""Byte planes, each a zstd frame of its own statistics: sign and exponent apart from the noise of the mantissa.

Items of two or more bytes are rotated left by one bit first, which brings an IEEE 754 float's whole exponent into its
top byte and its sign to the bottom. Planes follow one another, the lowest byte first.
"""

import numpy as np

from delta.arrays import Items, octets, unsigned
from delta.coders import zstd

NUMBER = 2
NAME = "planes"


def encode(items: Items, *, level: int) -> bytes | None:
    """One frame over all planes, or `None` for items of one byte, which have no planes."""
    width = items.dtype.itemsize
    if width == 1:
        return None
    bits = np.ascontiguousarray(items).view(unsigned(width))
    rotated = (bits << 1) | (bits >> (8 * width - 1))
    return zstd.compress(np.ascontiguousarray(octets(rotated).reshape(-1, width).T).data.cast("B"), level=level)


def decode(coded: bytes, item: np.dtype[np.generic], count: int) -> Items:
    """`count` items from their planes."""
    width = item.itemsize
    planes = np.frombuffer(zstd.decompress(coded, count * width), np.uint8).reshape(width, count)
    rotated = np.ascontiguousarray(planes.T).reshape(-1).view(unsigned(width))
    return ((rotated >> 1) | (rotated << (8 * width - 1))).view(item)
