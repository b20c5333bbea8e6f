"""`zeros`: nothing is expected; for corrections that say all, such as indices into a palette."""

import numpy as np

from delta.arrays import Octets
from delta.spans import Piece, Sources


class Zeros:
    """Zero bytes."""

    number = 4
    name = "zeros"
    operands: tuple[str, ...] = ()
    reads_base = False
    expansion = 1

    def predict(self, piece: Piece, sources: Sources) -> Octets:
        return np.zeros(piece.length, np.uint8)
