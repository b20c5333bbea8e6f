"""The tensor as its counterpart in the base plus small changes: fine-tuning, retraining of codes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from delta.arrays import Items, unsigned
from delta.contexts import FLOAT_MAGNITUDE, NOTHING, PATTERN, Shifts
from delta.corrections import add, ordered
from delta.corrections.add import Add
from delta.corrections.ordered import Ordered
from delta.encoder.base_tensors import Counterpart
from delta.encoder.channels import axes
from delta.encoder.scene import Scene
from delta.encoder.tensors import TensorRef
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
_CLASSES = 40
_LEAST_CHANGE = 0.05


def propose(tensor: TensorRef, scene: Scene) -> Iterator[Proposal]:
    """For each counterpart: differences in blocks, and in contexts of old value and channel."""
    values = scene.values(tensor)
    for old in scene.base.counterparts(tensor):
        old_values = scene.base.values(old)
        predictor, operands = prediction(old)
        if tensor.is_float:
            drawn = InBlocks("ordered", ordered.residual(values, old_values))
            yield (Way(tensor.size, predictor, operands, Ordered.number, drawn=drawn),)
        else:
            drawn = InBlocks("difference", add.residual(values, old_values))
            yield (Way(tensor.size, predictor, operands, Add.number, drawn=drawn),)
        if scene.settings.contexts:
            yield from in_context(tensor, values, Prediction(predictor, operands, old_values))


def prediction(old: Counterpart) -> tuple[int, tuple[Operand, ...]]:
    """The predictor that reads a counterpart, and its operands."""
    if old.layout is None:
        return Copy.number, (old.tensor.offset,)
    return Relaid.number, (old.tensor.offset, old.layout, old.tensor.item)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a predictor gives for a tensor, and how it is asked to."""

    predictor: int
    operands: tuple[Operand, ...]
    predicted: Items
    guess: InContext | None = None


def in_context(tensor: TensorRef, values: Items, prediction: Prediction) -> Iterator[Proposal]:
    """A prediction and its corrections in contexts of what is predicted and of channels along up to two axes."""
    if tensor.data_type in _HALF_OCTAVE_SHIFTS:
        yield from _floats_in_context(tensor, values, prediction)
    elif values.itemsize == 1:
        yield from _codes_in_context(tensor, values, prediction)


def _floats_in_context(tensor: TensorRef, values: Items, prediction: Prediction) -> Iterator[Proposal]:
    predicted = prediction.predicted
    steps = ordered.residual_in_context(values, predicted)
    if steps is None:
        return
    change = np.nan_to_num(_as_numbers(values, tensor) - _as_numbers(predicted, tensor), posinf=0, neginf=0)
    for plan in _float_plans(tensor, change):
        drawn = InContext("ordered", steps, plan, plan.contexts(predicted))
        yield _corrected(tensor, prediction, Ordered.number, drawn)


def _codes_in_context(tensor: TensorRef, values: Items, prediction: Prediction) -> Iterator[Proposal]:
    difference = add.residual(values, prediction.predicted)
    for plan in _code_plans(tensor, difference):
        drawn = InContext("difference", difference, plan, plan.contexts(prediction.predicted))
        yield _corrected(tensor, prediction, Add.number, drawn)


def _corrected(tensor: TensorRef, prediction: Prediction, correction: int, drawn: InContext) -> Proposal:
    way = Way(tensor.size, prediction.predictor, prediction.operands, correction, drawn=drawn, guess=prediction.guess)
    return (way,)


def _float_plans(tensor: TensorRef, change: npt.NDArray[np.float64]) -> Iterator[ContextPlan]:
    shift = _HALF_OCTAVE_SHIFTS[tensor.data_type]
    plan = ContextPlan(Mapping.TOKENS, "moved", FLOAT_MAGNITUDE, shift, _CONTEXTS)
    ways = list(axes(tensor.dims, change.size))
    whole = float(np.sqrt(np.square(change).mean()))
    for axis in ways:
        yield replace(plan, shifts=_shifts(axis.root_mean_squares(change), tensor), inner=axis.inner)
    by_size = sorted(ways[1:], key=lambda axis: -axis.channels)[:2]
    if len(by_size) == 2 and whole > 0:
        one, other = by_size
        relative = np.rint(2 * np.log2(np.maximum(other.root_mean_squares(change) / whole, 2.0**-30)))
        yield replace(
            plan,
            shifts=_shifts(one.root_mean_squares(change), tensor),
            inner=one.inner,
            second_shifts=np.where(relative > -60, -relative, _UNCHANGED).astype(np.int16),
            second_inner=other.inner,
        )


def _shifts(changes: npt.NDArray[np.float64], tensor: TensorRef) -> Shifts:
    """What brings an old value as large as its channel's changes (root mean squares) to the middle context."""
    kind = {1: "<f4", 10: "<f2", 16: "<f4"}[tensor.data_type]
    pattern = changes.astype(kind).view(unsigned(int(kind[2]))).astype(np.int64)
    levels = (pattern >> (16 if tensor.data_type == 16 else 0)) >> _HALF_OCTAVE_SHIFTS[tensor.data_type]
    return np.where(levels > 0, _MIDDLE - levels, _UNCHANGED).astype(np.int16)


def _as_numbers(items: Items, tensor: TensorRef) -> npt.NDArray[np.float64]:
    if tensor.data_type == 16:
        return (items.astype("<u4") << 16).view("<f4").astype(np.float64)
    with np.errstate(all="ignore"):
        numbers: npt.NDArray[np.float64] = items.astype(np.float64)
    return numbers


def _code_plans(tensor: TensorRef, difference: Items) -> Iterator[ContextPlan]:
    """8-bit codes: the size of change of the channel along one axis or two, or the old code."""
    plan = ContextPlan(Mapping.TOKENS, "codes", NOTHING, 0, _CLASSES)
    change = difference.astype(np.float64)
    whole = float(np.sqrt(np.square(change).mean())) + _LEAST_CHANGE
    ways = list(axes(tensor.dims, change.size))
    for axis in ways:
        yield replace(plan, shifts=_classes(axis.root_mean_squares(change)), inner=axis.inner)
    by_size = sorted(ways[1:], key=lambda axis: -axis.channels)[:2]
    if len(by_size) == 2:
        one, other = by_size
        relative = 4 * np.log2((other.root_mean_squares(change) + _LEAST_CHANGE) / whole)
        yield replace(
            plan,
            shifts=_classes(one.root_mean_squares(change)),
            inner=one.inner,
            second_shifts=np.rint(relative).astype(np.int16),
            second_inner=other.inner,
        )
    yield ContextPlan(Mapping.TOKENS, f"codes of {tensor.offset}", PATTERN, 3, _CLASSES)


def _classes(changes: npt.NDArray[np.float64]) -> Shifts:
    """Quarter octaves of the size of change of codes."""
    classes: Shifts = np.clip(np.rint(4 * np.log2(changes + _LEAST_CHANGE) + 18), 0, _CLASSES - 1).astype(np.int16)
    return classes
