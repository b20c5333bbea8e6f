"""The same numbers in another floating-point format: rounded, truncated, or clipped before either."""

import numpy as np

from delta import floats
from delta.arrays import Items
from delta.errors import PatchMalformed
from delta.floats import Floats
from delta.formulas.base import Formula, Values


class Rounded:
    """To the nearest number of that kind, ties to even; exact where the kind is the wider one."""

    number = 1
    name = "rounded"
    operands: tuple[str, ...] = ("numbers", "kind")
    inputs = 1

    def items(self, formula: Formula, first: int, count: int, values: Values) -> Items:
        numbers, kind = formula.operands
        if kind >= len(floats.WIDTHS):
            raise PatchMalformed(f"unknown kind of float {kind}")
        return floats.rounded(values.floats(numbers, first, count), kind)


class Truncated:
    """To bfloat16 by leaving the lower half of a float32 out."""

    number = 2
    name = "truncated"
    operands: tuple[str, ...] = ("numbers",)
    inputs = 1

    def items(self, formula: Formula, first: int, count: int, values: Values) -> Items:
        return floats.truncated(values.floats(formula.operands[0], first, count))


class Clipped:
    """With magnitudes between two float32, given as patterns; zeros, infinities and NaNs as they are."""

    number = 3
    name = "clipped"
    operands: tuple[str, ...] = ("numbers", "tiny_bits", "huge_bits")
    inputs = 1

    def items(self, formula: Formula, first: int, count: int, values: Values) -> Floats:
        numbers, tiny_bits, huge_bits = formula.operands
        if max(tiny_bits, huge_bits) >= 1 << 31:
            raise PatchMalformed("numbers are clipped to what is no positive float32")
        tiny, huge = (np.uint32(bits).view(np.float32) for bits in (tiny_bits, huge_bits))
        return floats.clipped(values.floats(numbers, first, count), tiny, huge)
