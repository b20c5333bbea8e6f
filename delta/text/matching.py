"""The longest repeat: where the last few bytes stood before, and so which byte to expect now.

A repeat that breaks is followed on: records that differ in a number go on alike. It is left only for one that is known
to be good again.
"""

from array import array

MIN_LENGTH = 5
MAX_LENGTH = 400
"""Repeats are counted up to here."""

_SLOT_BITS = 18
_VERIFIED = 32
_MULTIPLIER = 0x9E3779B97F4A7C15


class Repeat:
    """What `seen`, which grows outside, is likely to go on with. `at` is the place to look, 0 while there is none."""

    def __init__(self, seen: bytearray) -> None:
        self._seen = seen
        self._last = array("i", bytes(4 << _SLOT_BITS))
        self.at = 0
        self.length = 0
        self.misses = 0
        for end in range(MIN_LENGTH, len(seen)):
            self._last[self._slot(end)] = end

    def _slot(self, end: int) -> int:
        value = int.from_bytes(self._seen[end - MIN_LENGTH : end], "little")
        return (value * _MULTIPLIER & 0xFFFFFFFFFFFFFFFF) >> (64 - _SLOT_BITS)

    def look(self) -> None:
        """Note where we are; where no repeat is going on, look for one."""
        end = len(self._seen)
        if end < MIN_LENGTH:
            return
        slot = self._slot(end)
        candidate, self._last[slot] = self._last[slot], end
        if candidate and self.length < MIN_LENGTH:
            length = self._common(candidate, end)
            if length >= MIN_LENGTH:
                self.at, self.length, self.misses = candidate, length, 0

    def _common(self, one: int, other: int) -> int:
        """How many bytes before both places are equal, up to `_VERIFIED`."""
        length = 0
        while length < min(_VERIFIED, one) and self._seen[one - 1 - length] == self._seen[other - 1 - length]:
            length += 1
        return length

    def advance(self, *, hit: bool) -> None:
        """Go on by one byte, which was the expected one or not."""
        if hit:
            self.length = min(self.length + 1, MAX_LENGTH)
            if self.length > _SURE:
                self.misses = 0
        else:
            self.length = 0
            self.misses += 1
        self.at += 1


_SURE = 16
"""So many hits in a row make up for misses."""
