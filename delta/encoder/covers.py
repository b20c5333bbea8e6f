"""Long stretches of the new file that are nearly like stretches of the base: what HDiffPatch calls covers.

HDiffPatch (https://github.com/sisong/HDiffPatch) finds them with a suffix array and extends them over bytes that
differ. Only that list is taken from the patch that it makes, whose layout is fixed by what its released versions read
(`libHDiffPatch/HPatch/patch.c`, `read_diffz_head` and `_covers_read_cover`); how the bytes are sent is our business.
It takes about the memory of both files twice again.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import hdiffpatch
import numpy as np

from delta.arrays import Octets
from delta.text.primed import Range

_MIN_EQUAL_BYTES = 12
"""A cover with fewer equal bytes saves less than its place in the index takes: measured on shared libraries, where 24
makes a tenth fewer covers and patches up to 0.4 % larger."""


@dataclass(frozen=True, slots=True)
class Cover:
    """`length` bytes at `target` of the new file are like those at `base` of the base."""

    base: int
    target: int
    length: int


def find_covers(
    base: Octets, base_ranges: Sequence[Range], new: Octets, new_ranges: Sequence[Range]
) -> Iterator[Cover]:
    """Covers between the given ranges of both files, in the order of the new one, each within one range of either."""
    old_plain, new_plain = _joined(base, base_ranges), _joined(new, new_ranges)
    if not old_plain or not new_plain:
        return
    patch = hdiffpatch.diff(old_plain, new_plain, validate=False)
    old_places, new_places = _Places(base_ranges), _Places(new_ranges)
    for joined in _parse(patch):
        done = 0
        while done < joined.length:
            old_at, old_left = old_places.find(joined.base + done)
            new_at, new_left = new_places.find(joined.target + done)
            length = min(joined.length - done, old_left, new_left)
            equal = np.count_nonzero(base[old_at : old_at + length] == new[new_at : new_at + length])
            if equal >= _MIN_EQUAL_BYTES:
                yield Cover(old_at, new_at, length)
            done += length


def _joined(file: Octets, ranges: Sequence[Range]) -> bytes:
    return b"".join(file[offset : offset + length].tobytes() for offset, length in ranges)


class _Places:
    """Offsets in joined ranges, back to offsets in their file."""

    def __init__(self, ranges: Sequence[Range]) -> None:
        self._ranges = ranges
        self._starts = list(accumulate((length for _, length in ranges), initial=0))

    def find(self, joined: int) -> tuple[int, int]:
        """The offset in the file, and how many bytes of the range are left from there."""
        number = bisect_right(self._starts, joined) - 1
        offset, length = self._ranges[number]
        passed = joined - self._starts[number]
        return offset + passed, length - passed


def _parse(patch: bytes) -> Iterator[Cover]:
    """The covers of an uncompressed patch: after a head that ends with a zero, eleven sizes, then the list."""
    reader = _Reader(patch, patch.index(0) + 1)
    _, _, count, covers_bytes, *_ = [reader.integer() for _ in range(11)]
    end = reader.at + covers_bytes
    base = target = 0
    for _ in range(count):
        backwards = patch[reader.at] >> 7
        step = reader.integer(tag_bits=1)
        base += -step if backwards else step
        target += reader.integer()
        length = reader.integer()
        yield Cover(base, target, length)
        base += length
        target += length
    if reader.at != end:
        raise ValueError("HDiffPatch's list of covers has another layout than expected: another version is installed")


class _Reader:
    """HDiffPatch's integers: seven bits a byte, the highest first, a set top bit where more follow."""

    def __init__(self, patch: bytes, at: int) -> None:
        self._patch = patch
        self.at = at

    def integer(self, tag_bits: int = 0) -> int:
        """The next one; its first byte may begin with a tag."""
        first = self._patch[self.at]
        self.at += 1
        more = 1 << (7 - tag_bits)
        value, goes_on = first & (more - 1), first & more
        while goes_on:
            byte = self._patch[self.at]
            self.at += 1
            value, goes_on = value << 7 | byte & 0x7F, byte & 0x80
        return value
