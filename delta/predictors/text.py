"""`text`: nothing of the base is like it, and it is no tensor: the next bytes of the patch's text."""

from delta.arrays import Octets
from delta.spans import Piece, Sources


class Text:
    """Bytes of the one stream that has its place, not a number: there are many such spans, and operands take bytes."""

    number = 8
    name = "text"
    operands: tuple[str, ...] = ()
    reads_base = False
    expansion = 1

    def predict(self, piece: Piece, sources: Sources) -> Octets:
        return sources.text(piece.length)
