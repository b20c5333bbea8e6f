"""`table`: bytes of the patch's shared table, such as scales that a predictor needed before their own turn."""

from delta.arrays import Octets
from delta.predictors.base import Piece, Sources


class Table:
    """Bytes of the shared table, from an offset on."""

    number = 2
    name = "table"
    operands = ("table_offset",)
    reads_base = False
    expansion = 1

    def restore(self, piece: Piece, sources: Sources) -> Octets:
        return sources.table(piece.span.operands[0] + piece.start, piece.length)
