"""The ways a tensor could be sent: each a predictor, its operands and its residual.

`choose` codes them and takes the smallest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from delta.arrays import ITEM_TYPES, Items, Octets
from delta.encoder.base_tensors import BaseTensors
from delta.encoder.draft import Residual, Role
from delta.encoder.effort import Settings
from delta.encoder.onnx_tensors import TensorRef
from delta.encoder.writers import BLOCK_ITEMS, code_blocks
from delta.predictors import difference, ordered
from delta.predictors.difference import Difference
from delta.predictors.literal import Literal
from delta.predictors.ordered import Ordered


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to send a tensor; the stream's number follows `operands` later."""

    predictor: int
    operands: tuple[int, ...]
    residual: Residual


def candidates(new: Octets, tensor: TensorRef, base: BaseTensors) -> list[Candidate]:
    """Every way that makes sense for this tensor, the simplest first."""
    values = new[tensor.offset : tensor.end].view(ITEM_TYPES[tensor.item])
    found = [Candidate(Literal.number, (), Residual(Role("literal", tensor.item), values))]
    return found + [_moved(tensor, values, old, base.values(old)) for old in base.counterparts(tensor)]


def _moved(tensor: TensorRef, values: Items, old: TensorRef, old_values: Items) -> Candidate:
    """The tensor as its counterpart plus small changes."""
    if tensor.is_float:
        steps = ordered.residual(values, old_values)
        return Candidate(Ordered.number, (old.offset,), Residual(Role("ordered", _item_number(steps)), steps))
    steps = difference.residual(values, old_values)
    return Candidate(Difference.number, (old.offset,), Residual(Role("difference", _item_number(steps)), steps))


def _item_number(items: Items) -> int:
    return ITEM_TYPES.index(items.dtype)


def choose(ways: Sequence[Candidate], settings: Settings) -> Candidate:
    """The way with the fewest coded bytes, the earlier one where two are equal; measured on a sample at effort fast."""
    if len(ways) == 1:
        return ways[0]
    measured = [_measure(way, settings) for way in ways]
    return min(measured, key=lambda pair: pair[0])[1]


def _measure(way: Candidate, settings: Settings) -> tuple[int, Candidate]:
    items = way.residual.items
    sample = settings.sample_items
    if sample is not None and items.size > max(sample, BLOCK_ITEMS):
        middle = (items.size - sample) // 2
        return sum(block.size for block in code_blocks(items[middle : middle + sample], settings)), way
    blocks = code_blocks(items, settings)
    return sum(block.size for block in blocks), replace(way, residual=replace(way.residual, blocks=blocks))
