"""`literal`: no prediction; the items stand in a stream, which codes them as bytes, floats or integers."""

from delta.arrays import Octets, octets
from delta.predictors.base import Piece, Sources


class Literal:
    """The next items of a stream."""

    number = 1
    name = "literal"
    operands = ("stream",)
    reads_base = False
    expansion = 1

    def restore(self, piece: Piece, sources: Sources) -> Octets:
        (stream,) = piece.span.operands
        return octets(sources.draw(stream, piece.items(sources.item_type(stream).itemsize)))
