"""`steps`: float32 numbers moved by a small whole number of steps each, one step for all.

For updates that were made so: `new = base + step * code`, both operations rounded to float32, as a rung of a
rate-accuracy ladder is. IEEE 754 fixes both, so every processor gets the same bits.
"""

import numpy as np
import numpy.typing as npt

from delta.arrays import Items, Octets, octets
from delta.errors import PatchMalformed
from delta.floats import is_finite
from delta.spans import Piece, Sources

Weights = npt.NDArray[np.float32]


def moved(old: Weights, codes: Items, step: np.float32) -> Weights:
    """`old + step * codes` in float32, rounded after each operation."""
    with np.errstate(all="ignore"):
        return old + step * codes.astype(np.float32)


class Steps:
    """Predicted float32 numbers plus `step_bits` (the pattern of a float32) times the stream's items (signed)."""

    number = 3
    name = "steps"
    operands: tuple[str, ...] = ("stream", "context", "step_bits")
    expansion = 8

    def correct(self, predicted: Octets, piece: Piece, sources: Sources) -> Octets:
        stream, context, step_bits = piece.span.correction_operands
        if not is_finite(step_bits) or sources.item_type(stream).kind != "i":
            raise PatchMalformed("steps need a finite float32 step and signed codes")
        count = piece.items(4)
        contexts = sources.contexts(context, predicted.view("<u4"), piece.start // 4)
        codes = sources.draw(stream, count, contexts)
        step = np.uint32(step_bits).view(np.float32)
        return octets(moved(predicted.view("<f4"), codes, step))
