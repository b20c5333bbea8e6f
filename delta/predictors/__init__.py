"""The predictors, by their number in the format. The only place that names them all.

To add one: a file with a class as `base.Predictor` describes, its line in `_ALL`, its rows in `docs/formats.md`, and
the encoder's reason to choose it in `delta/encoder`. Numbers are never used twice.
"""

from delta.predictors.base import Piece, Predictor, Sources, Span
from delta.predictors.copy import Copy
from delta.predictors.difference import Difference
from delta.predictors.literal import Literal
from delta.predictors.ordered import Ordered
from delta.predictors.quantise import Quantise
from delta.predictors.table import Table

_ALL: tuple[Predictor, ...] = (Copy(), Literal(), Table(), Difference(), Ordered(), Quantise())

PREDICTORS: dict[int, Predictor] = {predictor.number: predictor for predictor in _ALL}

__all__ = ["PREDICTORS", "Piece", "Predictor", "Sources", "Span"]
