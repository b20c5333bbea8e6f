"""Version 1 of the format, read only: its predictors, which corrected by themselves, in terms of today's two steps.

Version 1 has no layouts, no contexts and no coded streams, and numbers its predictors otherwise. Its golden files are in
`tests/formats/`.
"""

from dataclasses import dataclass

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

VERSION = 1

_NONE = -1
"""Stands for an operand that version 1 did not have: 0, as they stand or without contexts."""

_MEANING: tuple[tuple[int, int, int, tuple[int, ...]], ...] = (
    (1, Copy.number, Exact.number, (0,)),
    (1, Literal.number, Exact.number, (0, _NONE)),
    (1, Table.number, Exact.number, (0,)),
    (2, Copy.number, Add.number, (0, 1, _NONE)),
    (2, Copy.number, Ordered.number, (0, 1, _NONE)),
    (7, Quantise.number, Add.number, (0, _NONE, 1, 2, 3, 4, 5, 6, _NONE)),
)
"""By number: how many operands it had, predictor and correction today, and which of its operands stand where."""


@dataclass(frozen=True, slots=True)
class Translated:
    """Columns of today's index."""

    predictors: varints.Integers
    corrections: varints.Integers
    operands: varints.Integers


def translate(numbers: varints.Integers, lengths: varints.Integers, operands: varints.Integers) -> Translated:
    """Version 1's columns as today's.

    Raises:
        PatchMalformed: a number that version 1 does not know, or operands that do not add up.
    """
    if numbers.size and int(numbers.max()) >= len(_MEANING):
        raise PatchMalformed(f"unknown predictor {int(numbers.max())}")
    arity = np.array([entry[0] for entry in _MEANING], np.int64)[numbers]
    if int(arity.sum()) != operands.size or numbers.size != lengths.size:
        raise PatchMalformed("the index has another number of operands than its spans need")
    translated: list[int] = []
    at = 0
    for number in numbers.tolist():
        count, _, _, order = _MEANING[number]
        own = operands[at : at + count].tolist()
        translated += [0 if place == _NONE else own[place] for place in order]
        at += count
    meaning = np.array([entry[1:3] for entry in _MEANING], np.int64)[numbers].reshape(-1, 2)
    return Translated(meaning[:, 0], meaning[:, 1], np.array(translated, np.int64))
