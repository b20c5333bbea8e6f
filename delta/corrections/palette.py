"""`palette`: few distinct values, sent as indices into a sorted list of them.

For shared weights (Deep Compression, Han et al. 2015, section 3, https://arxiv.org/abs/1510.00149). The index that is
expected is that of the nearest value, so weights that were clustered but not trained on cost nothing beside their base.
"""

import numpy as np
import numpy.typing as npt

from delta.arrays import ITEM_TYPES, Items, Octets, octets, ordered, unsigned
from delta.errors import PatchMalformed
from delta.spans import Piece, Sources

MAX_ENTRIES = 4096
_MAX_INDEX_BYTES = 2


def nearest(values: Items, palette: Items) -> npt.NDArray[np.int64]:
    """The index of the palette's entry nearest to each value, the lower where two are as near.

    Both are bit patterns of numbers (unsigned); `palette` rises in the order of the numbers, and near means few
    representable numbers between, for floats as for integers.
    """
    above = np.minimum(np.searchsorted(palette, values), palette.size - 1)
    below = np.maximum(above - 1, 0)
    # Differences are unsigned: one that would be negative tells nothing.
    nearer_below = (values <= palette[above]) & (values - palette[below] <= palette[above] - values)
    return np.where((values <= palette[below]) | nearer_below, below, above)


class Palette:
    """Entries of the palette at `palette_at` of the table: `entries` items of type `item`, rising."""

    number = 4
    name = "palette"
    operands: tuple[str, ...] = ("stream", "context", "palette_at", "entries", "item")
    expansion = 32

    def correct(self, predicted: Octets, piece: Piece, sources: Sources) -> Octets:
        stream, context, palette_at, entries, item = piece.span.correction_operands
        if not 0 < entries <= MAX_ENTRIES or item >= len(ITEM_TYPES):
            raise PatchMalformed("a palette has no entries, too many, or an unknown item type")
        kind = unsigned(ITEM_TYPES[item].itemsize)
        count = piece.items(kind.itemsize)
        palette = sources.table(palette_at, entries * kind.itemsize).view(kind)
        expected = expected_indices(predicted.view(ITEM_TYPES[item]), palette.view(ITEM_TYPES[item]))
        contexts = sources.contexts(context, expected.astype("<u4"), piece.start // kind.itemsize)
        drawn = sources.draw(stream, count, contexts)
        if drawn.dtype.kind != "u" or drawn.dtype.itemsize > _MAX_INDEX_BYTES:
            raise PatchMalformed("indices into a palette must be unsigned, of one or two bytes")
        return octets(palette[(expected + drawn.astype(np.int64)) % entries])


def expected_indices(predicted: Items, palette: Items) -> npt.NDArray[np.int64]:
    """`nearest`, for items of the palette's type."""
    return nearest(_ranks(predicted), _ranks(palette))


def _ranks(items: Items) -> Items:
    bits = items.view(unsigned(items.dtype.itemsize))
    return ordered(bits) if items.dtype.kind == "f" else bits
