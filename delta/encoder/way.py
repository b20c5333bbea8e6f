"""A way to send a stretch of the new file: a predictor, a correction, and what they draw. Pure values.

Operands may be numbers, or things that get a number when the way is taken: bytes for the patch's table, a layout.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from delta.arrays import Items, unsigned
from delta.contexts import NO_SHIFTS, NOTHING, ContextModel, Shifts
from delta.corrections.exact import Exact
from delta.encoder.terms import Term
from delta.encoder.writers import Block
from delta.entropy.symbols import Mapping
from delta.layouts import Layout
from delta.spans import Contexts

Operand = int | bytes | Layout | Term | None
"""`None` is no layout: items as they stand."""


@dataclass(frozen=True, slots=True)
class ContextPlan:
    """A context model that has not got its place among the contexts of its stream: see `contexts.ContextModel`.

    Spans of one `group` share contexts; they have the same `count`. Channels along up to two axes have a shift each.
    """

    mapping: Mapping
    group: str = ""
    level: int = NOTHING
    shift: int = 0
    count: int = 1
    shifts: Shifts = field(default_factory=lambda: NO_SHIFTS)
    inner: int = 1
    second_shifts: Shifts = field(default_factory=lambda: NO_SHIFTS)
    second_inner: int = 1

    def model(self, first: int, shifts_at: int, second_shifts_at: int) -> ContextModel:
        """The model, once its first context and the places of its shifts are known."""
        return ContextModel(
            level=self.level,
            shift=self.shift,
            first=first,
            count=self.count,
            shifts_at=shifts_at,
            channels=self.shifts.size,
            inner=self.inner,
            second_shifts_at=second_shifts_at,
            second_channels=self.second_shifts.size,
            second_inner=self.second_inner,
        )

    def contexts(self, predicted: Items) -> Contexts:
        """The contexts of all items of a span, counted from the group's first; of zeros where nothing is predicted."""
        bits = predicted.view(unsigned(predicted.dtype.itemsize))
        return self.model(0, 0, 0).of(bits, 0, self.shifts, self.second_shifts)


@dataclass(frozen=True, slots=True)
class InBlocks:
    """Items that a span takes from a stream of blocks. `role` is the stream's purpose; `blocks` where coded already."""

    role: str
    items: Items
    blocks: list[Block] | None = None


@dataclass(frozen=True, slots=True)
class InContext:
    """Items that a span takes from a coded stream; `contexts` count from the first of the plan's group."""

    role: str
    items: Items
    plan: ContextPlan
    contexts: Contexts


@dataclass(frozen=True, slots=True)
class InBytes:
    """Items that a span takes from a stream of bytes with one long history, for what repeats itself."""

    role: str
    items: Items


Drawn = InBlocks | InContext | InBytes


@dataclass(frozen=True, slots=True)
class Way:
    """How to send `length` bytes: what the predictor (`guess`) and the correction (`drawn`) draw, and their operands.

    The operands leave out `stream` and `context`, which stand where the predictor or correction names them.
    """

    length: int
    predictor: int
    operands: tuple[Operand, ...] = ()
    correction: int = Exact.number
    correction_operands: tuple[Operand, ...] = ()
    drawn: Drawn | None = None
    guess: Drawn | None = None

    @property
    def is_free(self) -> bool:
        """Whether it draws nothing."""
        return self.guess is None and self.drawn is None


Proposal = Sequence[Way]
"""Ways for consecutive stretches, which together send one tensor."""
