"""`ordered`: IEEE 754 floats of the base, moved by a stream of steps from one representable number to the next.

For fine-tuned weights: the step count is small where the change is small, whatever the exponent.
"""

from delta.arrays import Items, Octets, octets, ordered, unordered, unsigned
from delta.predictors import difference
from delta.predictors.base import Piece, Sources


def residual(new: Items, old: Items) -> Items:
    """What the stream must hold: `new` minus `old` in the order of the numbers, modulo 2^n, signed."""
    kind = unsigned(new.dtype.itemsize)
    return difference.residual(ordered(new.view(kind)), ordered(old.view(kind)))


class Ordered:
    """Base floats of the stream's width, moved by the stream's items."""

    number = 4
    name = "ordered"
    operands = ("base_offset", "stream")
    reads_base = True
    expansion = 4

    def restore(self, piece: Piece, sources: Sources) -> Octets:
        base_offset, stream = piece.span.operands
        width = sources.item_type(stream).itemsize
        drawn = sources.draw(stream, piece.items(width)).view(unsigned(width))
        old = sources.base(base_offset + piece.start, piece.length).view(unsigned(width))
        return octets(unordered(ordered(old) + drawn))
