"""Context models: what a decoder knows about an item before it draws it, as a small number.

A weight's old exponent says how many representable numbers lie within a change of a given size; its channels say how
large changes are there. A model adds up and clips: `first + clip(level + shift[channel] + shift[channel], 0, count - 1)`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from delta.arrays import Items
from delta.errors import PatchMalformed
from delta.spans import Contexts

Levels = npt.NDArray[np.int32]

MAX_CONTEXTS = 1 << 16


def _nothing(bits: Items, shift: int) -> Levels:
    return np.zeros(bits.size, np.int32)


def _float_magnitude(bits: Items, shift: int) -> Levels:
    """The pattern without its sign, shifted: for float32, 23 leaves the exponent, 22 half octaves."""
    width = bits.dtype.itemsize
    magnitude = bits & bits.dtype.type((1 << (8 * width - 1)) - 1)
    return _narrowed(magnitude >> bits.dtype.type(shift))


def _integer_magnitude(bits: Items, shift: int) -> Levels:
    width = bits.dtype.itemsize
    return _narrowed(np.abs(bits.view(f"<i{width}").astype(np.int64)) >> shift)


def _pattern(bits: Items, shift: int) -> Levels:
    return _narrowed(bits >> bits.dtype.type(shift))


def _narrowed(levels: Items) -> Levels:
    return np.minimum(levels.astype(np.uint64), np.uint64(MAX_CONTEXTS)).astype(np.int32)


LEVELS: tuple[Callable[[Items, int], Levels], ...] = (_nothing, _float_magnitude, _integer_magnitude, _pattern)
"""By their number in the format: of predicted items (unsigned patterns) and a shift."""
NOTHING, FLOAT_MAGNITUDE, INTEGER_MAGNITUDE, PATTERN = range(4)


Shifts = npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class ContextModel:
    """How items of a span get contexts `first` to `first + count`.

    Channels along up to two axes have shifts, int16 each, at `shifts_at` of the table; item i has channel
    (i // inner) % channels of its axis. An axis without channels has no shifts.
    """

    level: int
    shift: int
    first: int
    count: int
    shifts_at: int = 0
    channels: int = 0
    inner: int = 1
    second_shifts_at: int = 0
    second_channels: int = 0
    second_inner: int = 1

    def check(self) -> None:
        """Raise `PatchMalformed` where a field is out of bounds."""
        if self.level >= len(LEVELS) or self.shift > 63 or not self.inner or not self.second_inner:
            raise PatchMalformed("a context model has an unknown level, or a shift or an extent out of bounds")
        if not self.count or self.first + self.count > MAX_CONTEXTS:
            raise PatchMalformed("a context model has no contexts or too many")

    def of(self, predicted: Items, first: int, shifts: Shifts, second_shifts: Shifts) -> Contexts:
        """The contexts of `predicted` (unsigned), whose first item has the number `first` in its span."""
        levels = LEVELS[self.level](predicted, min(self.shift, 8 * predicted.dtype.itemsize - 1))
        if self.channels:
            levels += _by_channel(shifts, self.inner, first, levels.size)
        if self.second_channels:
            levels += _by_channel(second_shifts, self.second_inner, first, levels.size)
        return (np.clip(levels, 0, self.count - 1) + self.first).astype(np.uint16)


NO_SHIFTS: Shifts = np.empty(0, np.int16)


def _by_channel(shifts: Shifts, inner: int, first: int, count: int) -> Shifts:
    """The shift of each of `count` items from `first` on."""
    start, stop = first // inner, -(-(first + count) // inner)
    turns = shifts[np.arange(start, stop) % shifts.size]
    lengths = np.full(stop - start, inner)
    lengths[0] -= first - start * inner
    lengths[-1] -= stop * inner - (first + count)
    return np.repeat(turns, lengths)
