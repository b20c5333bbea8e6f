"""A text in a patch, and which ranges of the base come before it: their list, then the coded text.

The list is a number of bytes (u2), then LEB128 integers: for each range how far it begins after the end of the one
before, and its length.
"""

import struct
from collections.abc import Callable, Sequence

import numpy as np

from delta import varints
from delta.arrays import Octets
from delta.entropy.bits import ByteSource
from delta.errors import PatchMalformed
from delta.text import codec

ReadBase = Callable[[int, int], Octets]
"""Bytes of the base, by offset and length; it checks both."""
Range = tuple[int, int]
"""Offset and length."""

_LIST_BYTES = struct.Struct("<H")
MAX_RANGES = 1 << 12


def read(source: ByteSource, size: int, primer_bytes: int, read_base: ReadBase) -> bytes:
    """The `size` bytes of the text that is all that is left of `source`; `primer_bytes` is what was declared.

    Raises:
        PatchMalformed: list, sizes and bytes do not fit together.
    """
    (list_bytes,) = _LIST_BYTES.unpack(source.read_exactly(_LIST_BYTES.size))
    ranges = _parse(source.read_exactly(list_bytes))
    if sum(length for _, length in ranges) != primer_bytes:
        raise PatchMalformed("a text comes after another number of bytes than it declares")
    if source.left > size + _MAX_OVERHEAD_BYTES or size > codec.MAX_TEXT_BYTES:
        raise PatchMalformed("a text is larger than allowed, or takes more bytes than it has")
    primer = b"".join(read_base(offset, length).tobytes() for offset, length in ranges)
    return codec.decode(source.read_exactly(source.left), size, primer)


_MAX_OVERHEAD_BYTES = 1024


def _parse(coded: bytes) -> list[Range]:
    numbers = varints.Reader(np.frombuffer(coded, np.uint8))
    count = numbers.left
    if count % 2 or count > 2 * MAX_RANGES:
        raise PatchMalformed("the ranges before a text are too many, or one has no length")
    ranges = []
    end = 0
    for gap, length in numbers.take(count).reshape(-1, 2).tolist():
        ranges.append((end + gap, length))
        end += gap + length
    return ranges


def write(text: bytes, ranges: Sequence[Range], primer: bytes) -> bytes:
    """What `read` takes; `primer` is what the ranges of the base hold."""
    numbers = []
    end = 0
    for offset, length in ranges:
        numbers += [offset - end, length]
        end = offset + length
    listed = varints.encode(numbers)
    return _LIST_BYTES.pack(len(listed)) + listed + codec.encode(text, primer)
