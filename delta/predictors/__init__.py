"""The predictors, by their number in the format. The only place that names them all.

To add one: a file with a class as `base.Predictor` describes, its line in `_ALL`, its rows in `docs/formats.md`, and
the encoder's reason to choose it, a file in `delta/encoder/ways`. Numbers are never used twice.
"""

from delta.predictors.base import Predictor
from delta.predictors.computed import Computed
from delta.predictors.copy import Copy
from delta.predictors.literal import Literal
from delta.predictors.low_rank import LowRank
from delta.predictors.quantise import Quantise
from delta.predictors.relaid import Relaid
from delta.predictors.table import Table
from delta.predictors.text import Text
from delta.predictors.varints import Varints
from delta.predictors.zeros import Zeros

_ALL: tuple[Predictor, ...] = (
    Copy(),
    Literal(),
    Table(),
    Relaid(),
    Zeros(),
    Quantise(),
    Computed(),
    Varints(),
    LowRank(),
    Text(),
)

PREDICTORS: dict[int, Predictor] = {predictor.number: predictor for predictor in _ALL}

__all__ = ["PREDICTORS", "Predictor"]
