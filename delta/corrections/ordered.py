"""`ordered`: IEEE 754 floats moved by a stream of steps from one representable number to the next.

For fine-tuned weights: the step count is small where the change is small, whatever the exponent. Where the steps have
contexts, the least item of the stream means "becomes zero", for weights that were pruned: the distance to zero would be
long and say nothing.
"""

import numpy as np

from delta.arrays import Items, Octets, octets, ordered, unordered, unsigned
from delta.corrections import add
from delta.spans import Piece, Sources


def residual(new: Items, old: Items) -> Items:
    """What a stream without contexts must hold: `new` minus `old` in the order of the numbers, modulo 2^n, signed."""
    kind = unsigned(new.dtype.itemsize)
    return add.residual(ordered(new.view(kind)), ordered(old.view(kind)))


def residual_in_context(new: Items, old: Items) -> Items | None:
    """What a stream with contexts must hold: as `residual`, but the least integer for what becomes positive zero.

    `None` where some number moved by just that least integer to something else.
    """
    kind = unsigned(new.dtype.itemsize)
    steps = residual(new, old)
    least = np.iinfo(steps.dtype).min
    zero = new.view(kind) == 0
    if bool((steps[~zero] == least).any()):
        return None
    steps[zero & (old.view(kind) != 0)] = least
    return steps


class Ordered:
    """Predicted floats of the stream's width, moved by the stream's items."""

    number = 2
    name = "ordered"
    operands: tuple[str, ...] = ("stream", "context")
    expansion = 4

    def correct(self, predicted: Octets, piece: Piece, sources: Sources) -> Octets:
        stream, context = piece.span.correction_operands
        kind = unsigned(sources.item_type(stream).itemsize)
        count = piece.items(kind.itemsize)
        old = predicted.view(kind)
        contexts = sources.contexts(context, old, piece.start // kind.itemsize)
        drawn = sources.draw(stream, count, contexts).view(kind)
        moved = unordered(ordered(old) + drawn)
        if contexts is not None:
            moved[drawn == kind.type(1 << (8 * kind.itemsize - 1))] = 0
        return octets(moved)
