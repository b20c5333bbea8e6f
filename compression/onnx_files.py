"""Reading and writing ONNX files whose graph is rewritten without torch; with the errors of this package."""

from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships no stubs
from onnx import ModelProto, TensorProto, numpy_helper

from compression.errors import ModelUnusable

FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)


def read_model(path: Path) -> ModelProto:
    """The model of a self-contained ONNX file.

    Raises:
        ModelUnusable: there is no such file, it is no ONNX, has weights elsewhere, or weights that are not numbers; the message names them.
    """
    try:
        model = onnx.load(path, load_external_data=False)
        onnx.checker.check_model(model)
    except (OSError, ValueError, DecodeError, onnx.checker.ValidationError) as error:
        raise ModelUnusable(f"{path.name} is no ONNX file that can be used: {str(error).strip()[:300]}") from error
    for tensor in model.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            raise ModelUnusable(
                f"{path.name}: tensor {tensor.name} is kept outside the file; save the model as one file"
            )
        if tensor.data_type in FLOATS and np.isnan(numpy_helper.to_array(tensor)).any():
            raise ModelUnusable(f"{path.name}: tensor {tensor.name} has values that are not a number")
    return model


def write_model(model: ModelProto, path: Path) -> None:
    """Check a model and write it.

    Raises:
        ModelUnusable: the checker refuses it; nothing is written.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelUnusable(f"{path.name}: the rewritten graph is no valid ONNX: {error}") from error
    path.write_bytes(model.SerializeToString())
