"""`difference`: base integers plus a stream of differences, modulo 2^n.

For integer codes and, bytewise, for anything else.
"""

from delta.arrays import Items, Octets, octets, unsigned
from delta.predictors.base import Piece, Sources


def residual(new: Items, old: Items) -> Items:
    """What the stream must hold: signed, so that small changes of either sign are near zero."""
    kind = unsigned(new.dtype.itemsize)
    difference: Items = (new.view(kind) - old.view(kind)).view(f"<i{new.dtype.itemsize}")
    return difference


class Difference:
    """Base integers of the stream's width plus the stream's items."""

    number = 3
    name = "difference"
    operands = ("base_offset", "stream")
    reads_base = True
    expansion = 2

    def restore(self, piece: Piece, sources: Sources) -> Octets:
        base_offset, stream = piece.span.operands
        width = sources.item_type(stream).itemsize
        drawn = sources.draw(stream, piece.items(width)).view(unsigned(width))
        old = sources.base(base_offset + piece.start, piece.length).view(unsigned(width))
        return octets(old + drawn)
