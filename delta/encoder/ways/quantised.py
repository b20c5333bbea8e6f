"""What a quantiser made from the base's floats: codes, scales, zero points and biases, by formulas or on a given grid.

ONNX Runtime's own quantiser is recomputed. Codes of another one, or on scales that were adjusted, are predicted on the
scales of the new file, which go to the patch's table, because they may follow the codes; these are recognised by the
names that ONNX Runtime gives them: `w_quantized`, `w_scale` and `w_zero_point` for the weight `w` (quant_utils.py,
TENSOR_NAME_QUANT_SUFFIX).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from delta.arrays import ITEM_TYPES, Items, Octets, octets
from delta.corrections import add
from delta.corrections.add import Add
from delta.encoder.base_tensors import Counterpart
from delta.encoder.numbers import transpositions
from delta.encoder.quantised_tensors import MAX_CORRECTED, MIN_BYTES
from delta.encoder.scene import Scene
from delta.encoder.tensors import TensorRef
from delta.encoder.way import InBlocks, Operand, Proposal, Way
from delta.predictors.computed import Computed
from delta.predictors.quantise import RULES, Quantise
from delta.predictors.table import Table
from delta.predictors.zeros import Zeros
from delta.quantisation import codes, spread

_FLOAT = 1
_SUFFIX = "_quantized"


def propose(tensor: TensorRef, scene: Scene) -> Iterator[Proposal]:
    """Whatever formulas give; else codes on the scales of the new file, and for such scales their one copy."""
    plain = scene.octets(tensor)
    if tensor.size >= MIN_BYTES and not plain[:MIN_BYTES].any() and not plain.any():
        yield (Way(tensor.size, Zeros.number),)
    yield from _computed(tensor, scene)
    way = recognise(tensor, scene)
    if way is not None:
        yield (way,)
    stem = tensor.name.removesuffix("_scale")
    coded = scene.named.get(f"{stem}{_SUFFIX}", []) if stem != tensor.name else []
    if any(recognise(one, scene) is not None for one in coded):
        yield (Way(tensor.size, Table.number, (plain.tobytes(),)),)


def _computed(tensor: TensorRef, scene: Scene) -> Iterator[Proposal]:
    coded = scene.quantised.codes.get(tensor)
    if coded is not None:
        operands: tuple[Operand, ...] = (coded.term, tensor.item)
        if not coded.corrections.size:
            yield (Way(tensor.size, Computed.number, operands),)
        else:
            drawn = InBlocks("corrections", coded.corrections)
            yield (Way(tensor.size, Computed.number, operands, Add.number, drawn=drawn),)
    term = scene.quantised.biases.get(tensor) or scene.quantised.computed(scene.octets(tensor))
    if term is not None:
        yield (Way(tensor.size, Computed.number, (term, tensor.item)),)


@dataclass(frozen=True, slots=True)
class Given:
    """A grid of the new file: scales and zero points by channel, channels repeating every `inner` codes."""

    scales: Octets
    zero_points: Octets
    inner: int
    code_item: int

    @property
    def channels(self) -> int:
        return self.zero_points.size

    def codes(self, weights: Items) -> Octets:
        """The codes that ONNX Runtime's quantiser gives `weights` on this grid, as bytes."""
        given = (self.scales.view("<f4"), self.zero_points.view(ITEM_TYPES[self.code_item]))
        scales, zero_points = (spread(one, 0, weights.size, self.inner) for one in given)
        return octets(codes(weights, scales, zero_points, RULES[self.code_item]))


def recognise(tensor: TensorRef, scene: Scene) -> Way | None:
    """The way from the base's float32 weights to these codes by the scales of the new file, if there is one."""
    coded = scene.quantised.codes.get(tensor)
    if coded is not None and not coded.corrections.size:
        return None
    stem = tensor.name.removesuffix(_SUFFIX)
    scale = _only(scene, f"{stem}_scale")
    if stem == tensor.name or tensor.item not in RULES or scale is None or scale.data_type != _FLOAT:
        return None
    grids = _grids(tensor, scene.new, scale, _only(scene, f"{stem}_zero_point"))
    for weights in scene.base.named(stem):
        if weights.data_type == _FLOAT and weights.size == 4 * tensor.size:
            for layout in (None, *transpositions(weights.dims, tensor.dims)):
                values = scene.base.values(Counterpart(weights, layout))
                for grid in grids:
                    corrections = add.residual(scene.octets(tensor), grid.codes(values))
                    if np.count_nonzero(corrections) <= MAX_CORRECTED * tensor.size:
                        return _way(tensor, (weights.offset, layout), grid, corrections)
    return None


def _way(tensor: TensorRef, weights: tuple[Operand, ...], grid: Given, corrections: Items) -> Way:
    laid = (grid.scales.tobytes(), grid.zero_points.tobytes(), grid.channels, grid.inner, grid.code_item)
    if not corrections.any():
        return Way(tensor.size, Quantise.number, (*weights, *laid))
    drawn = InBlocks("corrections", corrections)
    return Way(tensor.size, Quantise.number, (*weights, *laid), Add.number, drawn=drawn)


def _only(scene: Scene, name: str) -> TensorRef | None:
    found = scene.named.get(name)
    return found[-1] if found else None


def _grids(tensor: TensorRef, new: Octets, scale: TensorRef, zero_point: TensorRef | None) -> list[Given]:
    scales = new[scale.offset : scale.end]
    zero_points = np.zeros(scales.size // 4, np.uint8)
    if zero_point is not None and zero_point.size == zero_points.size and zero_point.item == tensor.item:
        zero_points = new[zero_point.offset : zero_point.end]
    return [Given(scales, zero_points, inner, tensor.item) for inner in _inner_extents(tensor, zero_points.size)]


def _inner_extents(tensor: TensorRef, channels: int) -> list[int]:
    """For every axis of `channels` entries, the items from one to the next; all items where there is one channel."""
    if channels == 1:
        return [tensor.size]
    dims = tensor.dims
    return [int(np.prod(dims[axis + 1 :], dtype=np.int64)) for axis, dim in enumerate(dims) if dim == channels]
