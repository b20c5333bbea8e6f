"""`table`: bytes of the patch's shared table, such as scales that a predictor needed before their own turn."""

from delta.arrays import Octets
from delta.spans import Piece, Sources


class Table:
    """Bytes of the shared table, from an offset on."""

    number = 2
    name = "table"
    operands: tuple[str, ...] = ("table_offset",)
    reads_base = False
    expansion = 1

    def predict(self, piece: Piece, sources: Sources) -> Octets:
        return sources.table(piece.span.operands[0] + piece.start, piece.length)
