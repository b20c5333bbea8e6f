"""Whether a file can be quantised, and whether samples fit it: asked before anything is started. No torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from compression import onnx_files
from compression.datasets import Samples
from compression.errors import DataUnusable, ModelUnusable

_QUANTISED = frozenset({"QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger"})


def read_model(path: Path) -> onnx.ModelProto:
    """The model in a file, looked through: it is ONNX, whole in one file, and all its numbers are finite.

    Raises:
        ModelUnusable: it is not; the message names file, and tensor or node.
    """
    model = onnx_files.read_model(path)
    for tensor in model.graph.initializer:
        if tensor.data_type in onnx_files.FLOATS and not np.isfinite(numpy_helper.to_array(tensor)).all():
            raise ModelUnusable(f"{path.name}: tensor {tensor.name} has values that are not finite")
    return model


def require_float(path: Path, model: onnx.ModelProto) -> None:
    """Refuse a model that has been quantised already.

    Raises:
        ModelUnusable: the message names the first node of that kind.
    """
    for node in model.graph.node:
        if node.op_type in _QUANTISED:
            raise ModelUnusable(f"{path.name} is quantised already ({node.op_type} {node.name or node.output[0]})")


def require_fit(path: Path, model: onnx.ModelProto, samples: Samples) -> None:
    """Refuse samples that are not what the model's inputs take.

    Raises:
        DataUnusable: an input is missing, or has another type or shape; the message names it, with what was expected and found.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    for port in model.graph.input:
        if port.name in constants:
            continue
        if port.name not in samples.inputs:
            raise DataUnusable(f"{path.name} has an input {port.name!r}, the samples have {', '.join(samples.inputs)}")
        array, kind = samples.inputs[port.name], port.type.tensor_type
        expected = helper.tensor_dtype_to_np_dtype(kind.elem_type)
        if array.dtype != expected:
            raise DataUnusable(f"input {port.name!r} takes {expected}, the samples are {array.dtype}")
        if kind.HasField("shape") and not _fits(kind.shape.dim, array.shape):
            wanted = [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?" for dim in kind.shape.dim]
            raise DataUnusable(f"input {port.name!r} takes {wanted}, the samples are {list(array.shape)}")


def drop_input(graph: onnx.GraphProto, weight: str) -> None:
    """Older exporters list weights among the inputs, where callers may replace them: not one that is stored as codes or in half."""
    for port in [port for port in graph.input if port.name == weight]:
        graph.input.remove(port)


def batch_of(model: onnx.ModelProto, wanted: int) -> int:
    """How many samples can be fed at once: `wanted` where every input leaves its first dimension open, else what that says."""
    constants = {tensor.name for tensor in model.graph.initializer}
    for port in model.graph.input:
        dims = port.type.tensor_type.shape.dim
        if port.name not in constants and dims and dims[0].HasField("dim_value"):
            return int(dims[0].dim_value)
    return wanted


def _fits(dims: Sequence[Any], shape: tuple[int, ...]) -> bool:
    """Whether samples of `shape`, [N, ...], can be fed; the first dimension is the batch's."""
    if len(dims) != len(shape):
        return False
    return all(
        not dim.HasField("dim_value") or dim.dim_value == size for dim, size in zip(dims[1:], shape[1:], strict=True)
    )
