"""Few distinct values: their list, and indices into it, expected from the counterpart in the base if there is one."""

from collections.abc import Iterator

import numpy as np

from delta.arrays import Items, octets, ordered, unsigned
from delta.contexts import NOTHING, PATTERN
from delta.corrections.palette import MAX_ENTRIES, Palette, expected_indices
from delta.encoder.channels import axes
from delta.encoder.scene import Scene
from delta.encoder.tensors import TensorRef
from delta.encoder.way import ContextPlan, InContext, Operand, Proposal, Way
from delta.encoder.ways.moved import prediction
from delta.entropy.symbols import Mapping
from delta.predictors.zeros import Zeros

_ITEMS_PER_ENTRY = 6
"""With fewer items to each distinct value, the list costs what it saves."""
_SAMPLE_ITEMS = 1 << 14
_CONTEXTS = 64


def propose(tensor: TensorRef, scene: Scene) -> Iterator[Proposal]:
    """Indices by themselves, and as distances from what each counterpart suggests."""
    values = scene.values(tensor)
    if not scene.settings.contexts or tensor.data_type == 16 or values.itemsize < 2:
        return
    palette = _distinct(values)
    if palette is None:
        return
    for predictor, operands, predicted in _predictions(tensor, scene, values):
        expected = expected_indices(predicted, palette)
        indices = expected_indices(values, palette)
        drawn_type = "<u1" if palette.size <= 256 else "<u2"
        items = ((indices - expected) % palette.size).astype(drawn_type)
        width = max(int(palette.size - 1).bit_length() - 6, 0)
        level = NOTHING if predictor == Zeros.number else PATTERN
        for plan in _plans(tensor, level, width, indices):
            drawn = InContext("palette", items, plan, plan.contexts(expected.astype("<u4")))
            corrections = (octets(palette).tobytes(), palette.size, tensor.item)
            yield (Way(tensor.size, predictor, operands, Palette.number, corrections, drawn),)


def _plans(tensor: TensorRef, level: int, width: int, indices: Items) -> Iterator[ContextPlan]:
    group = f"palette of {tensor.offset}"
    if level == PATTERN:
        yield ContextPlan(Mapping.DIRECT, group, PATTERN, width, _CONTEXTS)
        return
    commonest = int(np.bincount(indices).argmax())
    for axis in axes(tensor.dims, indices.size):
        density = (indices != commonest).astype(np.float64).reshape(-1, axis.channels, axis.inner).mean(axis=(0, 2))
        classes = np.clip(np.rint(4 * np.log2(density + 2.0**-10) + 40), 0, _CONTEXTS - 1).astype(np.int16)
        yield ContextPlan(Mapping.DIRECT, f"{group} {axis.channels}", count=_CONTEXTS, shifts=classes, inner=axis.inner)


def _predictions(tensor: TensorRef, scene: Scene, values: Items) -> Iterator[tuple[int, tuple[Operand, ...], Items]]:
    yield Zeros.number, (), np.zeros(values.size, values.dtype)
    for old in scene.base.counterparts(tensor):
        yield *prediction(old), scene.base.values(old)


def _distinct(values: Items) -> Items | None:
    """The distinct bit patterns in the order of their numbers, or nothing where there are too many."""
    most = min(MAX_ENTRIES, values.size // _ITEMS_PER_ENTRY)
    bits = values.view(unsigned(values.itemsize))
    if np.unique(bits[:_SAMPLE_ITEMS]).size > most:
        return None
    distinct = np.unique(bits)
    if distinct.size > most:
        return None
    if values.dtype.kind == "f":
        distinct = distinct[np.argsort(ordered(distinct), kind="stable")]
    return distinct.view(values.dtype)
