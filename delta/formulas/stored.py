"""`stored`: floating-point numbers of the base, in a layout."""

from delta import floats
from delta.errors import PatchMalformed
from delta.floats import Floats
from delta.formulas.base import Formula, Values


class Stored:
    """Numbers of that kind of float, from an offset of the base on."""

    number = 0
    name = "stored"
    operands: tuple[str, ...] = ("base_offset", "layout", "kind")
    inputs = 0

    def items(self, formula: Formula, first: int, count: int, values: Values) -> Floats:
        base_offset, layout, kind = formula.operands
        if kind >= len(floats.WIDTHS):
            raise PatchMalformed(f"unknown kind of float {kind}")
        return floats.read(values.base_items(base_offset, layout, floats.WIDTHS[kind], first, count), kind)
