"""`copy`: the same bytes stand in the base."""

from delta.arrays import Octets
from delta.predictors.base import Piece, Sources


class Copy:
    """Bytes of the base, from an offset on."""

    number = 0
    name = "copy"
    operands = ("base_offset",)
    reads_base = True
    expansion = 1

    def restore(self, piece: Piece, sources: Sources) -> Octets:
        return sources.base(piece.span.operands[0] + piece.start, piece.length)
