"""Version 1 of the format, read only: its predictors, which corrected by themselves, in terms of today's two steps.

Version 1 has no layouts, no contexts and no coded streams, and numbers its predictors otherwise. Its golden files are in
`tests/formats/`.
"""

import numpy as np

from delta import varints
from delta.corrections.add import Add
from delta.corrections.exact import Exact
from delta.corrections.ordered import Ordered
from delta.errors import PatchMalformed
from delta.predictors.copy import Copy
from delta.predictors.literal import Literal
from delta.predictors.quantise import Quantise
from delta.predictors.table import Table
from delta.streams import BLOCKS, FRAME, STORED

VERSION = 1

_NONE = -1
"""Stands for an operand that version 1 did not have: 0, as they stand or without contexts."""

STREAM_KINDS = (STORED, FRAME, BLOCKS)

MEANING: tuple[tuple[int, int, int, tuple[int, ...]], ...] = (
    (1, Copy.number, Exact.number, (0,)),
    (1, Literal.number, Exact.number, (0, _NONE)),
    (1, Table.number, Exact.number, (0,)),
    (2, Copy.number, Add.number, (0, 1, _NONE)),
    (2, Copy.number, Ordered.number, (0, 1, _NONE)),
    (7, Quantise.number, Add.number, (0, _NONE, 1, 2, 3, 4, 5, 6, _NONE)),
)
"""By number: how many operands it had, predictor and correction today, and which of its operands stand where."""


_BY_METHOD = {(predictor, correction): (count, order) for count, predictor, correction, order in MEANING}


def methods_today(numbers: varints.Integers) -> tuple[varints.Integers, varints.Integers]:
    """Version 1's predictors as today's, and today's corrections.

    Raises:
        PatchMalformed: a number that version 1 does not know.
    """
    if numbers.size and int(numbers.max()) >= len(MEANING):
        raise PatchMalformed(f"unknown predictor {int(numbers.max())}")
    methods = np.array([entry[1:3] for entry in MEANING], np.int64)[numbers]
    return methods[:, 0], methods[:, 1]


def operand_count(predictor: int, correction: int) -> int:
    """How many operands version 1 has for what is today this predictor and correction."""
    return _BY_METHOD[predictor, correction][0]


def operands_today(predictor: int, correction: int, own: list[int]) -> list[int]:
    """Version 1's operands as today's, the predictor's before the correction's."""
    order = _BY_METHOD[predictor, correction][1]
    return [0 if place == _NONE else own[place] for place in order]
