"""How ONNX element types are held in torch, and how a held tensor goes back into its ONNX tensor. Little is done in other precisions than float32.

Half precision is held and computed as float32: a net stored as float16 can be trained like any other, and is rounded once, on writing. Integers
that torch knows only half (uint16, 4 bits) are held in a wider type; values are unchanged.
"""

from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto
from torch import Tensor

from compression.errors import ModelUnusable

HELD_AS: dict[int, torch.dtype] = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.FLOAT16: torch.float32,
    TensorProto.BFLOAT16: torch.float32,
    TensorProto.DOUBLE: torch.float64,
    TensorProto.BOOL: torch.bool,
    TensorProto.INT8: torch.int8,
    TensorProto.INT16: torch.int16,
    TensorProto.INT32: torch.int32,
    TensorProto.INT64: torch.int64,
    TensorProto.UINT8: torch.uint8,
    TensorProto.UINT16: torch.int32,
    TensorProto.UINT32: torch.int64,
    TensorProto.UINT64: torch.int64,
    TensorProto.INT4: torch.int8,
    TensorProto.UINT4: torch.uint8,
}
FLOATS: dict[int, np.dtype[Any]] = {
    TensorProto.FLOAT: np.dtype(np.float32),
    TensorProto.FLOAT16: np.dtype(np.float16),
    TensorProto.BFLOAT16: onnx.helper.tensor_dtype_to_np_dtype(TensorProto.BFLOAT16),
    TensorProto.DOUBLE: np.dtype(np.float64),
}
INTEGER_RANGES: dict[int, tuple[int, int]] = {
    TensorProto.INT4: (-8, 7),
    TensorProto.UINT4: (0, 15),
    TensorProto.INT8: (-128, 127),
    TensorProto.UINT8: (0, 255),
    TensorProto.INT16: (-32768, 32767),
    TensorProto.UINT16: (0, 65535),
    TensorProto.INT32: (-(2**31), 2**31 - 1),
}


def type_name(data_type: int) -> str:
    """`FLOAT16` and the like."""
    return onnx.helper.tensor_dtype_to_string(data_type).removeprefix("TensorProto.")


def held_dtype(data_type: int, of: str) -> torch.dtype:
    """The torch type that `data_type` is held in.

    Raises:
        ModelUnusable: none is; the message names `of`.
    """
    try:
        return HELD_AS[data_type]
    except KeyError:
        raise ModelUnusable(f"{of} is of type {type_name(data_type)}, which cannot be computed with here") from None


def to_torch(tensor: TensorProto, of: str) -> Tensor:
    """The values of an ONNX tensor, copied.

    Raises:
        ModelUnusable: the type is not held, or the tensor is kept outside the file.
    """
    dtype = held_dtype(tensor.data_type, of)
    if tensor.data_location == TensorProto.EXTERNAL:
        raise ModelUnusable(f"{of} is kept outside the ONNX file; save the model as one file")
    array = onnx.numpy_helper.to_array(tensor)
    if tensor.data_type not in FLOATS and array.dtype.kind not in "bui":
        array = array.astype(np.int8 if dtype is torch.int8 else np.uint8)  # 4 bits, which numpy itself does not know
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        array = array.astype(np.int64)
    if tensor.data_type == TensorProto.BFLOAT16:
        array = array.astype(np.float32)
    return torch.from_numpy(np.array(array, order="C")).to(dtype).reshape(tuple(tensor.dims))


def stored_array(values: Tensor, data_type: int, of: str) -> NDArray[Any]:
    """Held float `values` as the array that an ONNX tensor of `data_type` stores, rounded to nearest even.

    Raises:
        ModelUnusable: a value is NaN, or a finite one does not fit the type.
    """
    held = values.detach().cpu().numpy()
    if np.isnan(held).any():
        raise ModelUnusable(f"{of} has values that are not a number")
    with np.errstate(over="ignore"):  # said below, by name
        array = held.astype(FLOATS[data_type])
    if not np.array_equal(np.isinf(array.astype(np.float64)), np.isinf(held)):
        raise ModelUnusable(f"{of} has values up to {np.abs(held).max():g}, too large for {type_name(data_type)}")
    return array
