"""No prediction: the items by themselves, and in contexts of their channel's scale."""

from collections.abc import Iterator

import numpy as np

from delta.arrays import Items, unsigned
from delta.encoder.channels import Axis, axes
from delta.encoder.scene import Scene
from delta.encoder.tensors import TensorRef
from delta.encoder.way import ContextPlan, InBlocks, InBytes, InContext, Proposal, Way
from delta.entropy.symbols import Mapping
from delta.predictors.literal import Literal

_SCALES = 128
"""Half octaves of scale from 2^-40 to 2^24."""
_LEAST_SCALE = -40.0
_DISTINCT_SHARE = 0.7


def propose(tensor: TensorRef, scene: Scene) -> Iterator[Proposal]:
    """As blocks, and in contexts where these pay: floats by exponent, bytes as they are."""
    values = scene.values(tensor)
    yield (Way(tensor.size, Literal.number, guess=InBlocks("literal", values)),)
    if not scene.settings.contexts:
        return
    if repeats(values):
        yield (Way(tensor.size, Literal.number, guess=InBytes("repeats", values)),)
    mapping = _mapping(tensor)
    if mapping is None:
        return
    for axis in axes(tensor.dims, values.size):
        plan = _plan(values, axis, mapping)
        contexts = plan.contexts(np.zeros(values.size, "<u4"))
        yield (Way(tensor.size, Literal.number, guess=InContext("literal", values, plan, contexts)),)


def repeats(values: Items) -> bool:
    """Whether enough items come more than once that a history of bytes may find runs of them: a Fourier basis, say."""
    bits = values.view(unsigned(values.itemsize))
    return values.itemsize > 1 and np.unique(bits).size <= _DISTINCT_SHARE * bits.size


def _mapping(tensor: TensorRef) -> Mapping | None:
    if tensor.is_float and tensor.data_type in (1, 10):
        return Mapping.SPLIT
    return Mapping.DIRECT if tensor.item in (0, 4) else None


def _plan(values: Items, axis: Axis, mapping: Mapping) -> ContextPlan:
    with np.errstate(all="ignore"):
        scales = np.log2(axis.root_mean_squares(values.astype(np.float64)))
    levels = np.clip(np.rint(2 * (np.nan_to_num(scales, neginf=_LEAST_SCALE, posinf=0) - _LEAST_SCALE)), 0, _SCALES - 1)
    return ContextPlan(mapping, "scale", count=_SCALES, shifts=levels.astype(np.int16), inner=axis.inner)
