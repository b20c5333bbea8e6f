"""What a predictor is: a guess at a piece of the output, from the base, the table, a stream, or nothing."""

from typing import Protocol

from delta.arrays import Octets
from delta.spans import Piece, Sources


class Predictor(Protocol):
    """One way to expect bytes.

    `operands` names the integers that a span of it carries. `reads_base`: the first one is an offset in the base, which
    the format codes relative to the end of the last span that read there. `expansion`: how many bytes of memory a byte
    of output may take while it is restored, roughly; pieces are made smaller by it.
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

    def predict(self, piece: Piece, sources: Sources) -> Octets:
        """The bytes expected at `piece`; not to be changed by whoever gets them.

        Raises:
            PatchMalformed: an operand, a stream or the piece's length makes no sense.
        """
