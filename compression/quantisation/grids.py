"""The grids of a QDQ file: which constants are codes, on which scales, and the file opened up so that torch can move the weights behind them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, numpy_helper

from compression.errors import ModelUnusable

Array = NDArray[Any]
Floats = NDArray[np.float32]

QUANTISED = "_quantized"
"""What ONNX Runtime's quantiser puts behind the name of a weight whose codes it stores."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Codes that are constants, and where the numbers that they stand for go.

    Attributes:
        codes, scale, zero_point: names of initializers; zero_point "" where there is none.
        value: the output of the `DequantizeLinear`.
        axis: of the codes, along which scales differ; None: one scale for all.
        is_bias: int32 codes; their scale is the product of an activation's and the weight's.
    """

    codes: str
    scale: str
    zero_point: str
    value: str
    axis: int | None
    is_bias: bool

    @property
    def weight(self) -> str:
        """The weight's name before it was quantised by ONNX Runtime."""
        return self.codes.removesuffix(QUANTISED)


class QuantisedModel:
    """A QDQ model whose weights are codes. What is changed here is written by `write`; the rest of the file stays as it is."""

    def __init__(self, model: ModelProto) -> None:
        self._model = ModelProto()
        self._model.CopyFrom(model)
        self._tensors = {tensor.name: tensor for tensor in self._model.graph.initializer}
        self.grids = tuple(self._grids())

    @property
    def model(self) -> ModelProto:
        """The model, with what was put into it."""
        return self._model

    def array(self, name: str) -> Array:
        """An initializer."""
        found: Array = numpy_helper.to_array(self._tensors[name])
        return found

    def scale(self, grid: Grid) -> Floats:
        """The grid's scales, shaped so that they can be multiplied with the codes."""
        return self._along(grid, self.array(grid.scale)).astype(np.float32)

    def values(self, grid: Grid) -> Floats:
        """The numbers that the codes stand for."""
        codes = self.array(grid.codes).astype(np.float64)
        found: Floats = ((codes - self.zero(grid)) * self.scale(grid)).astype(np.float32)
        return found

    def code(self, grid: Grid, values: Array) -> Array:
        """The nearest codes of `values`, in the codes' type."""
        kind = self.array(grid.codes).dtype
        limits = np.iinfo(kind)
        low = limits.min + (1 if kind == np.int8 else 0)  # as ONNX Runtime does: symmetric, so that -w has the code -c
        codes = np.rint(np.asarray(values, dtype=np.float64) / self.scale(grid)) + self.zero(grid)
        found: Array = np.clip(codes, low, limits.max).astype(kind)
        return found

    def activation_grids(self) -> list[tuple[str, str]]:
        """Names of scale and zero point of what is quantised while the net runs."""
        found = {
            (node.input[1], node.input[2])
            for node in self._model.graph.node
            if node.op_type == "QuantizeLinear" and len(node.input) > 2 and node.input[1] in self._tensors
        }
        return sorted(found)

    def biases_of(self) -> list[tuple[Grid, Grid, str]]:
        """Each bias that is codes, with the weight of its layer and the name of the scale of what comes into it."""
        by_value = {grid.value: grid for grid in self.grids}
        scales = {
            node.output[0]: node.input[1] for node in self._model.graph.node if node.op_type == "DequantizeLinear"
        }
        found = []
        for node in self._model.graph.node:
            if len(node.input) < 3 or node.input[1] not in by_value or node.input[2] not in by_value:
                continue
            weight, bias = by_value[node.input[1]], by_value[node.input[2]]
            if bias.is_bias and node.input[0] in scales:
                found.append((bias, weight, scales[node.input[0]]))
        return found

    def bias_scales(self) -> list[tuple[Grid, Array]]:
        """The scale that each bias must have, for ONNX Runtime adds codes: the activation's times the weight's."""
        return [
            (
                bias,
                (self.array(weight.scale) * self.array(scale)).astype(np.float32).reshape(self.array(bias.scale).shape),
            )
            for bias, weight, scale in self.biases_of()
        ]

    def put(self, name: str, array: Array) -> None:
        """Let an initializer have other values, of its own type and shape."""
        tensor = self._tensors[name]
        before = numpy_helper.to_array(tensor)
        if array.shape != before.shape or array.dtype != before.dtype:
            raise ValueError(f"{name} is {before.dtype} {before.shape}, not {array.dtype} {array.shape}")
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), name))

    def opened(self) -> ModelProto:
        """The same graph with float32 weights in place of codes: initializers with the names of the `DequantizeLinear` outputs."""
        model = ModelProto()
        model.CopyFrom(self._model)
        values = {grid.value: self.values(grid) for grid in self.grids}
        nodes = [node for node in model.graph.node if node.output[0] not in values]
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in values.items())
        used = {name for node in nodes for name in node.input} | {port.name for port in model.graph.output}
        kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
        del model.graph.initializer[:]
        model.graph.initializer.extend(kept)
        return model

    def write(self, path: Path) -> None:
        """Write the model with today's codes and scales; checked."""
        onnx.save(self._model, path)
        onnx.checker.check_model(path, full_check=True)

    def _grids(self) -> list[Grid]:
        found = []
        for node in self._model.graph.node:
            if node.op_type != "DequantizeLinear" or node.input[0] not in self._tensors:
                continue
            codes = self._tensors[node.input[0]]
            if codes.data_type not in {TensorProto.INT8, TensorProto.UINT8, TensorProto.INT32}:
                continue
            axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
            is_single = self.array(node.input[1]).size == 1
            found.append(
                Grid(
                    codes=node.input[0],
                    scale=node.input[1],
                    zero_point=node.input[2] if len(node.input) > 2 else "",
                    value=node.output[0],
                    axis=None if is_single else axis % max(len(codes.dims), 1),
                    is_bias=codes.data_type == TensorProto.INT32,
                )
            )
        return found

    def zero(self, grid: Grid) -> Array:
        """The grid's zero points, shaped so that they can be subtracted from the codes."""
        if not grid.zero_point:
            return np.zeros((), np.float64)
        return self._along(grid, self.array(grid.zero_point)).astype(np.float64)

    def _along(self, grid: Grid, array: Array) -> Array:
        if grid.axis is None:
            return array.reshape(())
        shape = [1] * len(self._tensors[grid.codes].dims)
        shape[grid.axis] = -1
        return array.reshape(shape)


def read_quantised(path: Path, model: ModelProto) -> QuantisedModel:
    """The grids of a QDQ file.

    Raises:
        ModelUnusable: it has none.
    """
    found = QuantisedModel(model)
    if not any(not grid.is_bias for grid in found.grids):
        raise ModelUnusable(f"{path.name} has no weights as int8 codes with a DequantizeLinear")
    return found


def float_weights(path: Path, model: ModelProto, quantised: QuantisedModel) -> Mapping[str, Floats]:
    """The float32 weights of `model`, the file that `quantised` was made from, by the names of the codes.

    Raises:
        ModelUnusable: one is missing or has another shape; the message names it.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    found = {}
    for grid in quantised.grids:
        tensor = constants.get(grid.weight)
        if tensor is None or list(tensor.dims) != list(quantised.array(grid.codes).shape):
            raise ModelUnusable(f"{path.name} has no weight {grid.weight} like the quantised file's {grid.codes}")
        found[grid.codes] = numpy_helper.to_array(tensor).astype(np.float32)
    return found


def first_difference(one: ModelProto, other: ModelProto) -> str:
    """In what two graphs differ beside the numbers of initializers, in words; empty: in nothing."""
    for a, b in zip(one.graph.node, other.graph.node, strict=False):
        if a != b:
            return f"a node is {a.op_type} {a.name or a.output[0]} in one and {b.op_type} {b.name or b.output[0]} in the other"
    if len(one.graph.node) != len(other.graph.node):
        return f"one has {len(one.graph.node)} nodes, the other {len(other.graph.node)}"
    ours = {tensor.name: _shape(tensor) for tensor in one.graph.initializer}
    theirs = {tensor.name: _shape(tensor) for tensor in other.graph.initializer}
    for name in sorted({*ours, *theirs}):
        if ours.get(name) != theirs.get(name):
            return f"{name} is {ours.get(name, 'missing')} in one and {theirs.get(name, 'missing')} in the other"
    return ""


def _shape(tensor: TensorProto) -> str:
    return f"{TensorProto.DataType.Name(tensor.data_type).lower()} {list(tensor.dims)}"
