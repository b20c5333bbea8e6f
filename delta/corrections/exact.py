"""`exact`: the prediction is right."""

from delta.arrays import Octets
from delta.spans import Piece, Sources


class Exact:
    """No correction."""

    number = 0
    name = "exact"
    operands: tuple[str, ...] = ()
    expansion = 1

    def correct(self, predicted: Octets, piece: Piece, sources: Sources) -> Octets:
        return predicted
