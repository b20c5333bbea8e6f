"""What a formula is: numbers computed from the base, item by item, as the index of a patch lists them."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from delta.arrays import Items, Octets
from delta.floats import Floats

Kept = TypeVar("Kept")


@dataclass(frozen=True, slots=True)
class Formula:
    """An operation by its number, and its operands."""

    operation: int
    operands: tuple[int, ...]


class Values(Protocol):
    """What an operation may ask for; everything is checked."""

    def base_items(self, offset: int, layout: int, width: int, first: int, count: int) -> Octets:
        """Items of the base, as `spans.Sources` gives them."""

    def formula(self, number: int) -> Formula:
        """A formula of the patch."""

    def items(self, number: int, first: int, count: int) -> Items:
        """Items `first` to `first + count` of a formula."""

    def floats(self, number: int, first: int, count: int) -> Floats:
        """The same of a formula whose items are floats.

        Raises:
            PatchMalformed: they are not.
        """

    def once(self, key: Hashable, items: int, kept: int, make: Callable[[], Kept]) -> Kept:
        """What `make` gives, kept: it looks at `items` items, and what it gives has `kept`.

        Raises:
            PatchMalformed: all that is made and kept so is more than a patch of this size needs.
        """


class Operation(Protocol):
    """One way to compute items.

    `operands` names its integers. The first `inputs` of them are numbers of formulas, which stand before it.
    """

    @property
    def number(self) -> int: ...

    @property
    def name(self) -> str: ...

    @property
    def operands(self) -> tuple[str, ...]: ...

    @property
    def inputs(self) -> int: ...

    def items(self, formula: Formula, first: int, count: int, values: Values) -> Items:
        """Items `first` to `first + count`; not to be changed by whoever gets them.

        Raises:
            PatchMalformed: an operand makes no sense.
        """
