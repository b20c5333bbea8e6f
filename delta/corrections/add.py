"""`add`: integers plus a stream of differences, modulo 2^n: for integer codes and, bytewise, for anything else."""

from delta.arrays import Items, Octets, octets, unsigned
from delta.spans import Piece, Sources


def residual(new: Items, old: Items) -> Items:
    """What the stream must hold: signed, so that small changes of either sign are near zero."""
    kind = unsigned(new.dtype.itemsize)
    difference: Items = (new.view(kind) - old.view(kind)).view(f"<i{new.dtype.itemsize}")
    return difference


class Add:
    """Predicted integers of the stream's width plus the stream's items."""

    number = 1
    name = "add"
    operands: tuple[str, ...] = ("stream", "context")
    expansion = 8

    def correct(self, predicted: Octets, piece: Piece, sources: Sources) -> Octets:
        stream, context = piece.span.correction_operands
        kind = unsigned(sources.item_type(stream).itemsize)
        count = piece.items(kind.itemsize)
        old = predicted.view(kind)
        contexts = sources.contexts(context, old, piece.start // kind.itemsize)
        return octets(old + sources.draw(stream, count, contexts).view(kind))
