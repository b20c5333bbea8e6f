"""Items as a symbol, whose distribution is coded, and raw bits below it, which are as good as random.

Three ways, by their number in the format:

- `direct`: the item is the symbol; for codes and indices below `MAX_SYMBOLS`.
- `tokens`: signed integers, small ones exactly, larger ones by length, two leading bits and sign (after Exp-Golomb,
  Teuhola 1978; the split is that of JPEG XL's hybrid integers, ISO/IEC 18181-1 C.3.3). The least value of the item type
  has a symbol of its own: corrections use it for "becomes zero".
- `split`: IEEE 754 floats without prediction: the pattern rotated left by one bit, so that exponent and leading mantissa
  bits are the symbol and the sign is a raw bit; zero has a symbol of its own.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from delta.arrays import Items, unsigned
from delta.errors import PatchMalformed

Numbers = npt.NDArray[np.int64]

MAX_SYMBOLS = 4096
MAX_RAW_BITS = 32


class Mapping(IntEnum):
    """How items become symbols."""

    DIRECT = 0
    TOKENS = 1
    SPLIT = 2


_EXACT = 16
"""Magnitudes below this have a symbol each; above, two bits below the leading one are part of the symbol."""


@dataclass(frozen=True, slots=True)
class SymbolMap:
    """One mapping for items of one type; `shift` and `lowest` are those of `split`: the raw bits, and the least prefix."""

    mapping: Mapping
    item: np.dtype[np.generic]
    shift: int = 0
    lowest: int = 0

    def check(self) -> None:
        """Raise `PatchMalformed` where the parameters make no sense for the item type."""
        width = self.item.itemsize
        if width > 4 or self.shift > MAX_RAW_BITS or self.lowest >= 1 << 32:
            raise PatchMalformed("a coded stream has items or raw bits that are too wide")
        if self.mapping == Mapping.DIRECT and width > 2:
            raise PatchMalformed("a coded stream cannot have items of that width as symbols")

    def split(self, items: Items) -> tuple[Numbers, Numbers, Numbers]:
        """Symbols, raw values and their bits, all int64 of the shape of `items`."""
        if self.mapping == Mapping.DIRECT:
            symbols = items.view(unsigned(self.item.itemsize)).astype(np.int64)
            nothing = np.zeros(items.size, np.int64)
            return symbols, nothing, nothing
        if self.mapping == Mapping.TOKENS:
            return _tokens(items)
        rotated = _rotated(items)
        prefixes = rotated >> self.shift
        zero = rotated == 0
        symbols = np.where(zero, 0, prefixes - self.lowest + 1)
        return symbols, np.where(zero, 0, rotated & ((1 << self.shift) - 1)), np.where(zero, 0, self.shift)

    def raw_bits(self) -> Numbers:
        """How many raw bits follow each symbol: int64, one for each of `MAX_SYMBOLS`."""
        symbols = np.arange(MAX_SYMBOLS, dtype=np.int64)
        if self.mapping == Mapping.DIRECT:
            return np.zeros(MAX_SYMBOLS, np.int64)
        if self.mapping == Mapping.TOKENS:
            classes = (symbols - 2) >> 1
            return np.where(classes < _EXACT - 1, 0, np.minimum(2 + (classes - (_EXACT - 1)) // 4, MAX_RAW_BITS))
        return np.where(symbols == 0, 0, self.shift)

    def least(self) -> Numbers:
        """The magnitude (`tokens`) or pattern that each symbol begins at: int64, one for each of `MAX_SYMBOLS`."""
        symbols = np.arange(MAX_SYMBOLS, dtype=np.int64)
        if self.mapping == Mapping.DIRECT:
            return symbols
        if self.mapping == Mapping.TOKENS:
            classes = (symbols - 2) >> 1
            octaves, steps = np.divmod(np.maximum(classes - (_EXACT - 1), 0), 4)
            wide = (4 + steps) << np.minimum(octaves + 2, MAX_RAW_BITS)
            return np.where(symbols < 2, 0, np.where(classes < _EXACT - 1, classes + 1, wide))
        return np.where(symbols == 0, 0, (symbols - 1 + self.lowest) << self.shift)

    def join(self, symbols: Numbers, raw: Numbers, least: Numbers) -> Items:
        """The items again; `least` is that of each symbol. Arithmetic is modulo the width of the item."""
        values = least + raw
        if self.mapping == Mapping.TOKENS:
            negative = symbols & 1
            values = (values ^ -negative) + negative
            values[symbols == 1] = -1 << (8 * self.item.itemsize - 1)
        elif self.mapping == Mapping.SPLIT:
            values = (values >> 1) | ((values & 1) << (8 * self.item.itemsize - 1))
        return values.astype(unsigned(self.item.itemsize)).view(self.item)


def _tokens(items: Items) -> tuple[Numbers, Numbers, Numbers]:
    width = items.dtype.itemsize
    values = items.view(f"<i{width}").astype(np.int64)
    magnitudes = np.abs(values)
    # frexp of an integer below 2^53 is exact: its exponent is the bit length.
    octaves = np.frexp(magnitudes.astype(np.float64))[1].astype(np.int64) - 1
    raw_bits = np.where(magnitudes < _EXACT, 0, octaves - 2)
    wide = _EXACT - 1 + (octaves - 4) * 4 + ((magnitudes >> raw_bits) & 3)
    classes = np.where(magnitudes < _EXACT, magnitudes - 1, wide)
    symbols = np.where(magnitudes == 0, 0, 2 + 2 * classes + (values < 0))
    least = values == -1 << (8 * width - 1)
    symbols[least] = 1
    raw_bits[least] = 0
    return symbols, magnitudes & ((1 << raw_bits) - 1), raw_bits


def _rotated(items: Items) -> Numbers:
    width = items.dtype.itemsize
    bits = items.view(unsigned(width)).astype(np.int64)
    return ((bits << 1) & ((1 << (8 * width)) - 1)) | (bits >> (8 * width - 1))


def split_of(items: Items, mantissa_bits: int) -> SymbolMap:
    """The `split` mapping for floats whose symbols keep `mantissa_bits`, its alphabet as small as `items` allow."""
    width = items.dtype.itemsize
    exponent_bits = {2: 5, 4: 8}[width]
    shift = 8 * width - exponent_bits - mantissa_bits
    rotated = _rotated(items)
    prefixes = rotated[rotated != 0] >> shift
    return SymbolMap(Mapping.SPLIT, items.dtype, shift, int(prefixes.min()) if prefixes.size else 0)
