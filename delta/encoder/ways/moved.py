"""The tensor as its counterpart in the base plus small changes: fine-tuning, retraining of codes."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from delta.arrays import Items, unsigned
from delta.contexts import FLOAT_MAGNITUDE, NOTHING, PATTERN
from delta.corrections import add, ordered
from delta.corrections.add import Add
from delta.corrections.ordered import Ordered
from delta.encoder.base_tensors import Counterpart
from delta.encoder.channels import Axis, axes
from delta.encoder.onnx_tensors import TensorRef
from delta.encoder.scene import Scene
from delta.encoder.way import ContextPlan, InBlocks, InContext, Operand, Proposal, Way
from delta.entropy.symbols import Mapping
from delta.predictors.copy import Copy
from delta.predictors.relaid import Relaid

_CONTEXTS = 66
"""Half octaves of old value by size of change, 2^-12 to 2^20, and context 0 for channels where nothing changed."""
_MIDDLE = 26
_UNCHANGED = -(1 << 14)
_HALF_OCTAVE_SHIFTS = {1: 22, 10: 9, 16: 6}
"""By ONNX data type: what leaves the exponent and one bit of the mantissa (float32, float16, bfloat16)."""
_CLASSES = 32


def propose(tensor: TensorRef, scene: Scene) -> Iterator[Proposal]:
    """For each counterpart: differences in blocks, and in contexts of old value and channel."""
    values = scene.values(tensor)
    for old in scene.base.counterparts(tensor):
        old_values = scene.base.values(old)
        predictor, operands = prediction(old)
        if tensor.is_float:
            steps = ordered.residual(values, old_values)
            yield (Way(tensor.size, predictor, operands, Ordered.number, drawn=InBlocks("ordered", steps)),)
            if scene.settings.contexts and tensor.data_type in _HALF_OCTAVE_SHIFTS:
                yield from _floats_in_context(tensor, values, old_values, old)
        else:
            difference = add.residual(values, old_values)
            yield (Way(tensor.size, predictor, operands, Add.number, drawn=InBlocks("difference", difference)),)
            if scene.settings.contexts and values.itemsize == 1:
                yield from _codes_in_context(tensor, values, old_values, old)


def prediction(old: Counterpart) -> tuple[int, tuple[Operand, ...]]:
    """The predictor that reads a counterpart, and its operands."""
    if old.layout is None:
        return Copy.number, (old.tensor.offset,)
    return Relaid.number, (old.tensor.offset, old.layout, old.tensor.item)


def _floats_in_context(tensor: TensorRef, values: Items, old_values: Items, old: Counterpart) -> Iterator[Proposal]:
    steps = ordered.residual_in_context(values, old_values)
    if steps is None:
        return
    predictor, operands = prediction(old)
    shift = _HALF_OCTAVE_SHIFTS[tensor.data_type]
    change = _as_numbers(values, tensor) - _as_numbers(old_values, tensor)
    for axis in axes(tensor.dims, values.size):
        plan = ContextPlan(
            Mapping.TOKENS,
            "moved",
            FLOAT_MAGNITUDE,
            shift,
            _CONTEXTS,
            _shifts(change, axis, tensor, shift),
            axis.inner,
        )
        drawn = InContext("ordered", steps, plan, plan.contexts(old_values))
        yield (Way(tensor.size, predictor, operands, Ordered.number, drawn=drawn),)


def _shifts(change: npt.NDArray[np.float64], axis: Axis, tensor: TensorRef, shift: int) -> npt.NDArray[np.int16]:
    """What brings an old value as large as its channel's change to the middle context."""
    changes = axis.root_mean_squares(np.nan_to_num(change, posinf=0, neginf=0))
    kind = {1: "<f4", 10: "<f2", 16: "<f4"}[tensor.data_type]
    pattern = changes.astype(kind).view(unsigned(int(kind[2]))).astype(np.int64)
    levels = (pattern >> (16 if tensor.data_type == 16 else 0)) >> shift
    return np.where(levels > 0, _MIDDLE - levels, _UNCHANGED).astype(np.int16)


def _as_numbers(items: Items, tensor: TensorRef) -> npt.NDArray[np.float64]:
    if tensor.data_type == 16:
        return (items.astype("<u4") << 16).view("<f4").astype(np.float64)
    with np.errstate(all="ignore"):
        numbers: npt.NDArray[np.float64] = items.astype(np.float64)
    return numbers


def _codes_in_context(tensor: TensorRef, values: Items, old_values: Items, old: Counterpart) -> Iterator[Proposal]:
    """8-bit codes: the size of change of the channel, and the old code."""
    predictor, operands = prediction(old)
    difference = add.residual(values, old_values)
    for axis in axes(tensor.dims, values.size):
        changes = axis.root_mean_squares(difference.astype(np.float64))
        classes = np.clip(np.rint(4 * np.log2(changes + 0.05) + 18), 0, _CLASSES - 1).astype(np.int16)
        by_change = ContextPlan(Mapping.TOKENS, "codes", NOTHING, 0, _CLASSES, classes, axis.inner)
        drawn = InContext("difference", difference, by_change, by_change.contexts(old_values))
        yield (Way(tensor.size, predictor, operands, Add.number, drawn=drawn),)
    by_code = ContextPlan(Mapping.TOKENS, f"codes of {tensor.offset}", PATTERN, 3, _CLASSES)
    drawn = InContext("difference", difference, by_code, by_code.contexts(old_values))
    yield (Way(tensor.size, predictor, operands, Add.number, drawn=drawn),)
