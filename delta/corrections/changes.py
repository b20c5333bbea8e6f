"""`changes`: bytes plus the next ones of the patch's stream of changes, modulo 256: what is nearly as in the base."""

from delta.arrays import Octets
from delta.spans import Piece, Sources


class Changes:
    """As `add` on bytes; its stream has its place, not a number, for there are many such spans."""

    number = 5
    name = "changes"
    operands: tuple[str, ...] = ()
    expansion = 2

    def correct(self, predicted: Octets, piece: Piece, sources: Sources) -> Octets:
        return predicted + sources.changes(piece.length)
