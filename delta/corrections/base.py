"""What a correction is: how the items of a stream turn what a predictor expects into what is there."""

from typing import Protocol

from delta.arrays import Octets
from delta.spans import Piece, Sources


class Correction(Protocol):
    """One way to correct a prediction.

    `operands` names the integers that a span of it carries besides its predictor's; they stand in
    `piece.span.correction_operands`. `expansion` is that of `predictors.base.Predictor`.
    """

    @property
    def number(self) -> int: ...

    @property
    def name(self) -> str: ...

    @property
    def operands(self) -> tuple[str, ...]: ...

    @property
    def expansion(self) -> int: ...

    def correct(self, predicted: Octets, piece: Piece, sources: Sources) -> Octets:
        """The bytes of `piece`, given those expected there.

        Raises:
            PatchMalformed: an operand, a stream or the piece's length makes no sense.
        """
