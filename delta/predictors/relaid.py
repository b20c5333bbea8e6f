"""`relaid`: the same items stand in the base in another order: transposed, in blocks, or with rows permuted."""

from delta.arrays import ITEM_TYPES, Octets
from delta.errors import PatchMalformed
from delta.spans import Piece, Sources


class Relaid:
    """Items of the base in the order of a layout; `item` is the number of their type."""

    number = 3
    name = "relaid"
    operands: tuple[str, ...] = ("base_offset", "layout", "item")
    reads_base = True
    expansion = 2

    def predict(self, piece: Piece, sources: Sources) -> Octets:
        base_offset, layout, item = piece.span.operands
        if item >= len(ITEM_TYPES):
            raise PatchMalformed(f"unknown item type {item}")
        width = ITEM_TYPES[item].itemsize
        return sources.base_items(base_offset, layout, width, piece.start // width, piece.items(width))
