"""Is this file one self-contained, valid ONNX model within the caps, and what does it cost to run? Runs in the child.

The checks come first, and the counter sees only what passed them. The parsed form is let go before `onnx.checker` reads
the file by itself, and parsed again after: both at once would double the memory, and parsing is quick.
"""

import mmap
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships no stubs
from onnx import ModelProto, TensorProto

from benchmarks.errors import BenchmarkError
from benchmarks.static_cost import static_cost_of
from registry.inspection.caps import check_caps, tensors_of
from registry.inspection.errors import FileRefused


def describe_model(path: Path) -> dict[str, Any]:
    """The static cost of a model that passed every check, as JSON values.

    Raises:
        FileRefused: it did not pass.
    """
    _check_contents(path)
    _check_validity(path)
    try:
        return static_cost_of(_parse(path)).as_json()
    except BenchmarkError as error:
        raise FileRefused(_first_lines(error)) from error


def _check_contents(path: Path) -> None:
    model = _parse(path)
    check_caps(model)
    _check_self_contained(model)


def _check_validity(path: Path) -> None:
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        raise FileRefused(f"onnx.checker says: {_first_lines(error)}") from error


def _parse(path: Path) -> ModelProto:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        view = memoryview(mapped)
        try:
            model: ModelProto = ModelProto.FromString(view)  # any buffer is read, and none is copied
        except (DecodeError, ValueError) as error:
            raise FileRefused(f"this is no ONNX file, or it was cut short: {error}") from error
        finally:
            view.release()
    if not model.HasField("graph") or not model.graph.output:
        raise FileRefused("this is no ONNX model: it has no graph with an output")
    return model


def _check_self_contained(model: ModelProto) -> None:
    for tensor in tensors_of(model):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            raise FileRefused(
                f"the tensor {tensor.name[:100]!r} is stored in another file; "
                "save the model as one file (onnx.save with save_as_external_data=False)"
            )


def _first_lines(error: Exception) -> str:
    return " ".join(str(error).split())[:500]
