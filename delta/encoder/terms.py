"""Formulas under construction: terms that hold their inputs, before all parts have numbers; and their values."""

from collections.abc import Iterable
from dataclasses import dataclass

from delta.arrays import Items, Octets
from delta.formulas import Formula
from delta.formulas.evaluation import Evaluation
from delta.layouts import Layout


@dataclass(frozen=True, slots=True)
class Term:
    """An operation and its operands; inputs are terms."""

    operation: int
    operands: tuple["int | Layout | Term | None", ...]


class TermNumbers:
    """The numbers that terms and layouts get in a patch: equal ones the same."""

    def __init__(self) -> None:
        self.layouts: list[Layout] = []
        self.formulas: list[Formula] = []
        self._of_layout: dict[Layout, int] = {}
        self._of_formula: dict[Formula, int] = {}

    def of(self, term: Term) -> int:
        """The number of a term's formula, which stands after its inputs."""
        formula = Formula(term.operation, tuple(self._operands(term)))
        if formula not in self._of_formula:
            self._of_formula[formula] = len(self.formulas)
            self.formulas.append(formula)
        return self._of_formula[formula]

    def of_layout(self, layout: Layout) -> int:
        """The number of a layout; 0 is none."""
        if layout not in self._of_layout:
            self.layouts.append(layout)
            self._of_layout[layout] = len(self.layouts)
        return self._of_layout[layout]

    def _operands(self, term: Term) -> Iterable[int]:
        for operand in term.operands:
            if isinstance(operand, Term):
                yield self.of(operand)
            elif isinstance(operand, Layout):
                yield self.of_layout(operand)
            else:
                yield operand or 0


class TermValues:
    """What terms are worth, computed as the decoder does, from the base in memory."""

    def __init__(self, base: Octets) -> None:
        self._base = base
        self._numbers = TermNumbers()
        self._evaluation = Evaluation(self._numbers.formulas, self._read, 1 << 62, 1 << 62)

    def items(self, term: Term, count: int, first: int = 0) -> Items:
        """Items of a term."""
        return self._evaluation.items(self._numbers.of(term), first, count)

    def _read(self, offset: int, layout: int, width: int, first: int, count: int) -> Octets:
        if not layout:
            return self._slice(offset + first * width, count * width)
        return self._numbers.layouts[layout - 1].gather(self._slice, offset, width, first, count)

    def _slice(self, offset: int, length: int) -> Octets:
        return self._base[offset : offset + length]
