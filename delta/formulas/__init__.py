"""The operations of formulas, by their number in the format. The only place that names them all.

A formula is for numbers that are computed from the base in several steps, or in steps that several spans share: the
scales of a layer serve its codes and its biases. To add an operation: a class as `base.Operation` describes, its line
in `_ALL`, its row in `docs/formats.md`, and the encoder's reason to use it. Numbers are never used twice.
"""

from delta.formulas.base import Formula, Operation
from delta.formulas.converted import Clipped, Rounded, Truncated
from delta.formulas.folded import FoldedBias, Gains, Multiplied, NewBias
from delta.formulas.quantised import BiasCodes, Codes, Nibbles, Scaled, Scales, ZeroPoints
from delta.formulas.stored import Stored

_ALL: tuple[Operation, ...] = (
    Stored(),
    Rounded(),
    Truncated(),
    Clipped(),
    Scales(),
    ZeroPoints(),
    Codes(),
    Nibbles(),
    Scaled(),
    BiasCodes(),
    Gains(),
    Multiplied(),
    FoldedBias(),
    NewBias(),
)

OPERATIONS: dict[int, Operation] = {operation.number: operation for operation in _ALL}

__all__ = ["OPERATIONS", "Formula", "Operation"]
