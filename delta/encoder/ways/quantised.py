"""Recognising tensors that ONNX Runtime's quantiser made from a float32 tensor of the base.

Its names are `w_quantized`, `w_scale` and `w_zero_point` for the weight `w` (quant_utils.py, TENSOR_NAME_QUANT_SUFFIX).
Scales are those of the new file: they go to the patch's table, because they may follow the codes in the file.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from delta.arrays import ITEM_NAMES, ITEM_TYPES, Items, Octets
from delta.corrections import add
from delta.corrections.add import Add
from delta.encoder.onnx_tensors import TensorRef
from delta.encoder.scene import Scene
from delta.encoder.way import InBlocks, Proposal, Way
from delta.predictors.quantise import Quantise, channels_of, codes
from delta.predictors.table import Table

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


def propose(tensor: TensorRef, scene: Scene) -> Iterator[Proposal]:
    """Codes from the base's weights; and, for the scales of such codes, their one copy in the table."""
    way = recognise(tensor, scene)
    if way is not None:
        yield (way,)
    stem = tensor.name.removesuffix("_scale")
    codes = scene.named.get(f"{stem}{_SUFFIX}", []) if stem != tensor.name else []
    if any(recognise(one, scene) is not None for one in codes):
        yield (Way(tensor.size, Table.number, (scene.octets(tensor).tobytes(),)),)


def recognise(tensor: TensorRef, scene: Scene) -> Way | None:
    """The way from the base's float32 weights to this tensor, if there is one."""
    stem = tensor.name.removesuffix(_SUFFIX)
    scale = _only(scene, f"{stem}_scale")
    if stem == tensor.name or tensor.item not in _CODE_ITEMS or scale is None or scale.data_type != _FLOAT:
        return None
    grids = _grids(tensor, scene.new, scale, _only(scene, f"{stem}_zero_point"))
    for weights in scene.base.named(stem):
        if weights.data_type == _FLOAT and weights.size == 4 * tensor.size:
            for grid in grids:
                expected = grid.codes(scene.base.values(weights))
                corrections = add.residual(scene.octets(tensor), expected)
                if np.count_nonzero(corrections) <= MAX_CORRECTED * tensor.size:
                    return _way(tensor, weights, grid, corrections)
    return None


def _way(tensor: TensorRef, weights: TensorRef, grid: Grid, corrections: Items) -> Way:
    operands = (
        weights.offset,
        None,
        grid.scales.tobytes(),
        grid.zero_points.tobytes(),
        grid.channels,
        grid.inner,
        grid.code_item,
    )
    if not corrections.any():
        return Way(tensor.size, Quantise.number, operands)
    return Way(tensor.size, Quantise.number, operands, Add.number, drawn=InBlocks("corrections", corrections))


def _only(scene: Scene, name: str) -> TensorRef | None:
    found = scene.named.get(name)
    return found[-1] if found else None


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
