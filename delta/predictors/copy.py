"""`copy`: the same bytes stand in the base."""

from delta.arrays import Octets
from delta.spans import Piece, Sources


class Copy:
    """Bytes of the base from an offset on, as they stand there."""

    number = 0
    name = "copy"
    operands: tuple[str, ...] = ("base_offset",)
    reads_base = True
    expansion = 1

    def predict(self, piece: Piece, sources: Sources) -> Octets:
        return sources.base(piece.span.operands[0] + piece.start, piece.length)
