"""Recognising tensors that ONNX Runtime's quantiser made from a float32 tensor of the base.

Its names are `w_quantized`, `w_scale` and `w_zero_point` for the weight `w` (quant_utils.py, TENSOR_NAME_QUANT_SUFFIX).
Scales are those of the new file: they go to the patch's table, because they may follow the codes in the file.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from delta.arrays import ITEM_NAMES, ITEM_TYPES, Items, Octets
from delta.encoder.base_tensors import BaseTensors
from delta.encoder.draft import Residual, Role
from delta.encoder.onnx_tensors import TensorRef
from delta.predictors import difference
from delta.predictors.quantise import channels_of, codes

_CODE_ITEMS = (ITEM_NAMES.index("i1"), ITEM_NAMES.index("u1"))
_FLOAT = 1
_SUFFIX = "_quantized"
MAX_CORRECTED = 0.02
"""A larger share of wrong codes means that these weights are not where the codes come from."""


@dataclass(frozen=True, slots=True)
class Grid:
    """A quantisation grid of the new file: scales and zero points by channel, channels repeating every `inner` codes."""

    scales: Octets
    zero_points: Octets
    inner: int
    code_item: int

    @property
    def channels(self) -> int:
        return self.zero_points.size

    def codes(self, weights: Items) -> Octets:
        """The codes that ONNX Runtime's quantiser gives `weights` on this grid, as bytes."""
        code_type = ITEM_TYPES[self.code_item]
        channel = channels_of(0, weights.size, self.inner, self.channels)
        return codes(weights, self.scales.view("<f4")[channel], self.zero_points.view(code_type)[channel], code_type)


@dataclass(frozen=True, slots=True)
class Quantised:
    """How a tensor's codes follow from `weights` of the base; `scale_tensor` is where the scales stand in the new file."""

    weights: TensorRef
    grid: Grid
    scale_tensor: TensorRef
    corrections: Residual


def recognise(tensor: TensorRef, new: Octets, named: Mapping[str, TensorRef], base: BaseTensors) -> Quantised | None:
    """The way from the base's float32 weights to this tensor, if there is one; `named` are the new file's tensors."""
    stem = tensor.name.removesuffix(_SUFFIX)
    scale = named.get(f"{stem}_scale")
    if stem == tensor.name or tensor.item not in _CODE_ITEMS or scale is None or scale.data_type != _FLOAT:
        return None
    grids = _grids(tensor, new, scale, named.get(f"{stem}_zero_point"))
    for weights in base.named(stem):
        if weights.data_type == _FLOAT and weights.size == 4 * tensor.size:
            for grid in grids:
                corrections = difference.residual(new[tensor.offset : tensor.end], grid.codes(base.values(weights)))
                if np.count_nonzero(corrections) <= MAX_CORRECTED * tensor.size:
                    residual = Residual(Role("corrections", ITEM_NAMES.index("i1")), corrections)
                    return Quantised(weights, grid, scale, residual)
    return None


def _grids(tensor: TensorRef, new: Octets, scale: TensorRef, zero_point: TensorRef | None) -> list[Grid]:
    scales = new[scale.offset : scale.end]
    zero_points = np.zeros(scales.size // 4, np.uint8)
    if zero_point is not None and zero_point.size == zero_points.size and zero_point.item == tensor.item:
        zero_points = new[zero_point.offset : zero_point.end]
    return [Grid(scales, zero_points, inner, tensor.item) for inner in _inner_extents(tensor, zero_points.size)]


def _inner_extents(tensor: TensorRef, channels: int) -> list[int]:
    """For every axis of `channels` entries, the items from one to the next; all items where there is one channel."""
    if channels == 1:
        return [tensor.size]
    dims = tensor.dims
    return [int(np.prod(dims[axis + 1 :], dtype=np.int64)) for axis, dim in enumerate(dims) if dim == channels]
