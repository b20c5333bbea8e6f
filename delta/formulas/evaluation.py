"""Computing the items of formulas, within bounds that do not depend on what a patch says.

Formulas refer to formulas before them, so there are no rings; how often one evaluation may evaluate others is bounded,
and so is all that is computed once and kept: in passes over weights by the size of the output, in memory by a constant.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol

from delta.arrays import Items, Octets
from delta.errors import PatchMalformed
from delta.floats import Floats
from delta.formulas import OPERATIONS
from delta.formulas.base import Formula, Kept

MAX_STEPS = 32
"""Evaluations that one item may cost; the bias of a folded layer takes some fifteen. Each may hold items of a piece."""
MAX_KEPT = 1 << 21
"""Numbers kept of all formulas of a patch: a scale of four bytes and a zero point of one for each of a million channels."""
ITEMS_PER_BYTE = 4
"""Weights looked at in advance by bytes of output: int4 codes have two to a byte."""


class BaseReader(Protocol):
    """Reads items of the base, as `spans.Sources.base_items` does."""

    def __call__(self, offset: int, layout: int, width: int, first: int, count: int) -> Octets: ...


def check_formulas(formulas: Sequence[Formula]) -> None:
    """Raise `PatchMalformed` where an operation is unknown, refers to what is not before it, or takes too many steps."""
    steps: list[int] = []
    for number, formula in enumerate(formulas):
        if formula.operation not in OPERATIONS:
            raise PatchMalformed(f"unknown operation {formula.operation}")
        operation = OPERATIONS[formula.operation]
        inputs = formula.operands[: operation.inputs]
        if any(one >= number for one in inputs):
            raise PatchMalformed("a formula refers to one that does not stand before it")
        steps.append(1 + sum(steps[one] for one in inputs))
        if steps[-1] > MAX_STEPS:
            raise PatchMalformed(f"a formula takes more than {MAX_STEPS} steps")


class Evaluation:
    """The values of a patch's formulas, which `check_formulas` accepts; see `base.Values`."""

    def __init__(
        self, formulas: Sequence[Formula], read_base: BaseReader, output_bytes: int, max_kept: int = MAX_KEPT
    ) -> None:
        self._formulas = formulas
        self._read_base = read_base
        self._kept: dict[Hashable, Any] = {}
        self._items_left = ITEMS_PER_BYTE * output_bytes
        self._kept_left = max_kept

    def base_items(self, offset: int, layout: int, width: int, first: int, count: int) -> Octets:
        return self._read_base(offset, layout, width, first, count)

    def formula(self, number: int) -> Formula:
        if number >= len(self._formulas):
            raise PatchMalformed(f"unknown formula {number}")
        return self._formulas[number]

    def items(self, number: int, first: int, count: int) -> Items:
        formula = self.formula(number)
        return OPERATIONS[formula.operation].items(formula, first, count, self)

    def floats(self, number: int, first: int, count: int) -> Floats:
        found = self.items(number, first, count)
        if found.dtype.kind != "f":
            raise PatchMalformed("a formula needs floats, and gets something else")
        return found

    def once(self, key: Hashable, items: int, kept: int, make: Callable[[], Kept]) -> Kept:
        if key not in self._kept:
            self._items_left -= items
            self._kept_left -= kept
            if self._items_left < 0 or self._kept_left < 0:
                raise PatchMalformed("formulas look at more weights, or have more channels, than the output can need")
            self._kept[key] = make()
        found: Kept = self._kept[key]
        return found
