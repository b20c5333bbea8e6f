"""Weights in four bits, activations in float32: a `DequantizeLinear` of int4 before each layer, which ONNX Runtime has on every CPU. No torch.

A weight of `Conv` or `ConvTranspose` has one scale per output channel; one of `MatMul` or `Gemm` has a scale per output and block of inputs
(opset 21). What else has weights (LSTM, embeddings) stays as it is. ONNX Runtime's own `MatMulNBits` would know `MatMul` only, and no other
runtime knows it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, version_converter

from compression.errors import ModelUnusable
from compression.quantisation.checks import drop_input, read_model, require_float

OPSET = 21
"""The first with int4 and blocks."""
CODE_MAX = 7
DOMAINS = frozenset({"", "ai.onnx"})
_CLIPPED = np.linspace(0.6, 1.0, 17)


@dataclass(frozen=True, slots=True)
class Int4Layer:
    """A layer that was quantised."""

    weight: str
    axis: int
    block: int


def to_int4(source: Path, target: Path, *, block: int = 32, smallest: int = 64) -> list[Int4Layer]:
    """Write `target`: `source` with the weights of its layers in int4; which these were. Weights of fewer than `smallest` numbers stay.

    Scales are chosen for the least squared error: some of the largest weights are clipped where that makes all others finer.

    Raises:
        ModelUnusable: the file cannot be used, or has no layer of that kind.
    """
    model = _at_opset(source, read_model(source))
    require_float(source, model)
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    done: dict[str, Int4Layer] = {}
    nodes = []
    for node in graph.node:
        axis = _out_axis(node)
        name = node.input[1] if axis is not None and len(node.input) > 1 else ""
        tensor = constants.get(name)
        if tensor is None or axis is None or tensor.data_type != TensorProto.FLOAT or name in done:
            continue
        weight = numpy_helper.to_array(tensor)
        if weight.size < smallest or weight.ndim < 2 or not _is_read_alike(graph, name, node.op_type):
            continue
        layer = Int4Layer(name, axis, 0)
        if node.op_type in {"MatMul", "Gemm"} and weight.ndim == 2 and weight.shape[1 - axis] > block:
            layer = Int4Layer(name, 1 - axis, block)
        codes, scales = quantise_int4(weight, layer.axis, layer.block)
        graph.initializer.remove(tensor)
        drop_input(graph, name)
        graph.initializer.extend(
            [
                helper.make_tensor(f"{name}_int4", TensorProto.INT4, codes.shape, codes.ravel()),
                numpy_helper.from_array(scales, f"{name}_scale"),
            ]
        )
        inputs = [f"{name}_int4", f"{name}_scale"]
        dequantise = helper.make_node("DequantizeLinear", inputs, [name], f"{name}_dequantised", axis=layer.axis)
        if layer.block:
            dequantise.attribute.append(helper.make_attribute("block_size", layer.block))
        nodes.append(dequantise)
        done[name] = layer
    if not done:
        raise ModelUnusable(f"{source.name} has no Conv, MatMul or Gemm with at least {smallest} constant weights")
    everything = [*nodes, *graph.node]
    del graph.node[:]
    graph.node.extend(everything)
    onnx.save(model, target)
    onnx.checker.check_model(target, full_check=True)
    return list(done.values())


def quantise_int4(weight: NDArray[np.float32], axis: int, block: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Codes -7..7 like `weight`, and scales: one for each index of `axis`, or with `block` one for each block of that many along `axis`."""
    if not block:
        rows = np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1)
        codes, scales = _rows(rows)
        shape = (weight.shape[axis], *np.delete(weight.shape, axis))
        return np.ascontiguousarray(np.moveaxis(codes.reshape(shape), 0, axis)), scales
    lines = np.moveaxis(weight, axis, -1)
    length = lines.shape[-1]
    blocks = -(-length // block)
    padded = np.zeros((*lines.shape[:-1], blocks * block), np.float32)
    padded[..., :length] = lines
    codes, scales = _rows(padded.reshape(-1, block))
    codes = codes.reshape(padded.shape)[..., :length]
    by_block = scales.reshape(*lines.shape[:-1], blocks)
    return np.ascontiguousarray(np.moveaxis(codes, -1, axis)), np.ascontiguousarray(np.moveaxis(by_block, -1, axis))


def _rows(rows: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Codes and the scale of each row: of some clipping points the one of the least squared error."""
    largest = np.abs(rows).max(axis=1)
    largest[largest == 0] = 1
    best = np.full(len(rows), np.inf)
    scales = np.ones(len(rows), np.float32)
    for share in _CLIPPED:
        tried = (largest * share / CODE_MAX).astype(np.float32)
        back = np.clip(np.rint(rows / tried[:, None]), -CODE_MAX, CODE_MAX) * tried[:, None]
        error = np.square(back - rows, dtype=np.float64).sum(axis=1)
        better = error < best
        best[better], scales[better] = error[better], tried[better]
    codes = np.clip(np.rint(rows / scales[:, None]), -CODE_MAX, CODE_MAX).astype(np.int8)
    return codes, scales


def _at_opset(source: Path, model: onnx.ModelProto) -> onnx.ModelProto:
    (opset,) = (entry.version for entry in model.opset_import if entry.domain in DOMAINS)
    if opset >= OPSET:
        return model
    try:
        return version_converter.convert_version(model, OPSET)
    except RuntimeError as error:
        raise ModelUnusable(f"{source.name} cannot be brought to opset {OPSET}, which has int4: {error}") from error


def _out_axis(node: onnx.NodeProto) -> int | None:
    """Along which axis of its weight the layer's outputs lie; None: no layer of those that are quantised."""
    if node.domain not in DOMAINS:
        return None
    attributes = {attribute.name: attribute for attribute in node.attribute}
    if node.op_type == "Gemm":
        return 0 if "transB" in attributes and attributes["transB"].i else 1
    if node.op_type == "ConvTranspose":
        return 1 if "group" not in attributes or attributes["group"].i == 1 else None
    return {"Conv": 0, "MatMul": 1}.get(node.op_type)


def _is_read_alike(graph: onnx.GraphProto, name: str, op_type: str) -> bool:
    """Whether every reader of a weight is the same kind of layer, so that one grid is right for all."""
    return all(
        node.op_type == op_type and list(node.input).index(name) == 1 for node in graph.node if name in node.input
    )
