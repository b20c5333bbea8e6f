"""Entropy coders for one block of items, by their number in the format.

A coder is a module with `NUMBER`, `NAME`, `encode(items, level=)` (`None` where it does not apply) and
`decode(coded, item, count)`. To add one, write the module and name it in `CODERS`; numbers are never used twice.
"""

from typing import Protocol

import numpy as np

from delta.arrays import Items
from delta.coders import pco, planes, stored, zstd
from delta.errors import PatchMalformed


class Coder(Protocol):
    """What a coder's module offers."""

    NUMBER: int
    NAME: str

    def encode(self, items: Items, *, level: int) -> bytes | None: ...

    def decode(self, coded: bytes, item: np.dtype[np.generic], count: int) -> Items: ...


_MODULES: tuple[Coder, ...] = (stored, zstd, planes, pco)

CODERS: dict[int, Coder] = {module.NUMBER: module for module in _MODULES}


def decode(number: int, coded: bytes, item: np.dtype[np.generic], count: int) -> Items:
    """Restore one block of `count` items.

    Raises:
        PatchMalformed: unknown coder, or bytes it does not accept.
    """
    coder = CODERS.get(number)
    if coder is None:
        raise PatchMalformed(f"unknown coder {number}")
    return coder.decode(coded, item, count)
