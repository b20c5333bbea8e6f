"""The corrections, by their number in the format. The only place that names them all; added as predictors are."""

from delta.corrections.add import Add
from delta.corrections.base import Correction
from delta.corrections.changes import Changes
from delta.corrections.exact import Exact
from delta.corrections.ordered import Ordered
from delta.corrections.palette import Palette
from delta.corrections.steps import Steps

_ALL: tuple[Correction, ...] = (Exact(), Add(), Ordered(), Steps(), Palette(), Changes())

CORRECTIONS: dict[int, Correction] = {correction.number: correction for correction in _ALL}

__all__ = ["CORRECTIONS", "Correction"]
