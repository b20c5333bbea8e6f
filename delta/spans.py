"""What the decoder works on: spans of the output, the pieces they are restored in, and where pieces take bytes from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from delta.arrays import Items, Octets
from delta.errors import PatchMalformed

Prepared = TypeVar("Prepared")
Contexts = npt.NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Span:
    """`length` bytes of the output: what a predictor expects there, and how a correction makes it right.

    `operands` are the predictor's; where it reads the base, the first one is the offset in the base.
    """

    predictor: int
    length: int
    operands: tuple[int, ...]
    correction: int = 0
    correction_operands: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """The part of a span that is restored at once: bytes `start` to `start + length` of it.

    `start` is a multiple of 64, so a piece begins at an item whatever the items' width.
    """

    span: Span
    start: int
    length: int

    def items(self, width: int) -> int:
        """How many items of `width` bytes the piece has.

        Raises:
            PatchMalformed: it is no whole number of them.
        """
        if self.length % width:
            raise PatchMalformed(f"a span of {self.span.length} bytes is no whole number of items of {width} bytes")
        return self.length // width


class Sources(Protocol):
    """What the decoder offers predictors and corrections; every read is checked against the file it is from."""

    def base(self, offset: int, length: int) -> Octets:
        """Bytes of the base file."""

    def base_items(self, offset: int, layout: int, width: int, first: int, count: int) -> Octets:
        """Items of `width` bytes of the base, `first` to `first + count` in the order of `layout` (0: as they stand)."""

    def table(self, offset: int, length: int) -> Octets:
        """Bytes of the patch's shared table."""

    def draw(self, stream: int, count: int, contexts: Contexts | None = None) -> Items:
        """The next items of a stream, each in its context; a stream that knows no contexts takes none."""

    def text(self, count: int) -> Octets:
        """The next bytes of the text: the patch's first stream, or its second where the first is the table."""

    def changes(self, count: int) -> Octets:
        """The next bytes of the changes: the stream after the text."""

    def item_type(self, stream: int) -> np.dtype[np.generic]:
        """The item type of a stream."""

    def contexts(self, model: int, predicted: Items, first: int) -> Contexts | None:
        """The contexts of predicted items (unsigned, `first` the number of the first in its span); none for model 0."""

    def computed(self, formula: int, first: int, count: int) -> Items:
        """Items `first` to `first + count` of a formula of the patch."""

    def prepared(self, make: Callable[[], Prepared]) -> Prepared:
        """What `make` gives, made with the first piece of a span and kept until its last: one such thing a span."""
