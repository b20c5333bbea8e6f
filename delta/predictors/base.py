"""What a predictor is, and what it may read while it restores a piece of a span."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from delta.arrays import Items, Octets
from delta.errors import PatchMalformed


@dataclass(frozen=True, slots=True)
class Span:
    """`length` bytes of the output that one predictor restores.

    `operands` are the predictor's own; where it reads the base, the first one is the offset in the base.
    """

    predictor: int
    length: int
    operands: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """The part of a span that is restored at once: bytes `start` to `start + length` of it."""

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
    """What the decoder offers a predictor; every read is checked against the file, stream or table it is from."""

    def base(self, offset: int, length: int) -> Octets:
        """Bytes of the base file."""

    def table(self, offset: int, length: int) -> Octets:
        """Bytes of the patch's shared table."""

    def draw(self, stream: int, count: int) -> Items:
        """The next items of a stream."""

    def item_type(self, stream: int) -> np.dtype[np.generic]:
        """The item type of a stream."""


class Predictor(Protocol):
    """One way to restore a span.

    `operands` names the integers that a span of it carries. `reads_base`: the first one is an offset in the base, which
    the format codes relative to the end of the last span that read there. `expansion`: how many bytes of memory a byte
    of output may take while it is restored, roughly; pieces are made smaller by it. Pieces start at multiples of 64
    bytes in their span.
    """

    @property
    def number(self) -> int: ...

    @property
    def name(self) -> str: ...

    @property
    def operands(self) -> tuple[str, ...]: ...

    @property
    def reads_base(self) -> bool: ...

    @property
    def expansion(self) -> int: ...

    def restore(self, piece: Piece, sources: Sources) -> Octets:
        """The bytes of `piece`.

        Raises:
            PatchMalformed: an operand, a stream or the piece's length makes no sense.
        """
