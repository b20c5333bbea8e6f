"""`literal`: nothing of the base is like it; the items stand in a stream, in contexts where that helps."""

import numpy as np

from delta.arrays import Octets, octets, unsigned
from delta.spans import Piece, Sources


class Literal:
    """The next items of a stream. Contexts see predicted zeros: they tell channels apart, and nothing else."""

    number = 1
    name = "literal"
    operands: tuple[str, ...] = ("stream", "context")
    reads_base = False
    expansion = 8

    def predict(self, piece: Piece, sources: Sources) -> Octets:
        stream, context = piece.span.operands
        width = sources.item_type(stream).itemsize
        count = piece.items(width)
        if not context:
            return octets(sources.draw(stream, count))
        zeros = np.zeros(count, unsigned(width))
        return octets(sources.draw(stream, count, sources.contexts(context, zeros, piece.start // width)))
