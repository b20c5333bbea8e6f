"""`computed`: items of a formula, such as codes, scales or rounded weights; see `delta.formulas`."""

from delta.arrays import ITEM_TYPES, Octets, octets
from delta.errors import PatchMalformed
from delta.spans import Piece, Sources


class Computed:
    """All items of a formula, from the first on; `item` is the number of a type as wide as they are."""

    number = 6
    name = "computed"
    operands: tuple[str, ...] = ("formula", "item")
    reads_base = False
    expansion = 32

    def predict(self, piece: Piece, sources: Sources) -> Octets:
        formula, item = piece.span.operands
        if item >= len(ITEM_TYPES):
            raise PatchMalformed(f"unknown item type {item}")
        width = ITEM_TYPES[item].itemsize
        items = sources.computed(formula, piece.start // width, piece.items(width))
        if items.dtype.itemsize != width:
            raise PatchMalformed("a formula gives items of another width than its span has")
        return octets(items)
