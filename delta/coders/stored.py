"""Items as they are: for noise, where a coder would only add its own header."""

import numpy as np

from delta.arrays import Items, octets
from delta.errors import PatchMalformed

NUMBER = 0
NAME = "stored"


def encode(items: Items, *, level: int) -> bytes | None:
    """The little-endian bytes of `items`."""
    return octets(items).tobytes()


def decode(coded: bytes, item: np.dtype[np.generic], count: int) -> Items:
    """`count` items; `coded` must hold exactly those."""
    if len(coded) != count * item.itemsize:
        raise PatchMalformed(f"a stored block has {len(coded)} bytes, expected {count * item.itemsize}")
    return np.frombuffer(coded, item)
