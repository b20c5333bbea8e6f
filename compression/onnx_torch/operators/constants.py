"""Values that come from nowhere or from a shape alone. Constant itself is read when the net is loaded (`net.py`)."""

import torch
from onnx import TensorProto
from torch import Tensor

from compression.onnx_torch.dtypes import held_dtype, to_torch, type_name
from compression.onnx_torch.node import Call, Operator


def _constant_of_shape(call: Call) -> Tensor:
    shape = [int(size) for size in call.tensor(0).tolist()]
    value = call.node.attributes.get("value")
    filling = torch.zeros(1) if value is None else to_torch(value, str(call.node))
    return filling.reshape(()).expand(shape).clone()


def _range(call: Call) -> Tensor:
    start, limit, step = (call.tensor(index) for index in range(3))
    return torch.arange(start.item(), limit.item(), step.item(), dtype=start.dtype)


def _eye_like(call: Call) -> Tensor:
    x, kind = call.tensor(0), call.node.attributes.get("dtype")
    dtype = x.dtype if kind is None else held_dtype(kind, str(call.node))
    rows, columns = x.shape
    return (torch.arange(columns) - torch.arange(rows)[:, None] == call.integer("k", 0)).to(dtype)


def _shape(call: Call) -> Tensor:
    x = call.tensor(0)
    start, end = call.integer("start", 0), call.node.attributes.get("end")
    return torch.tensor(list(x.shape)[start:end], dtype=torch.int64)


def _size(call: Call) -> Tensor:
    return torch.tensor(call.tensor(0).numel())


def _cast(call: Call) -> Tensor:
    x, to = call.tensor(0), call.integer("to", 0)
    if to in (TensorProto.INT4, TensorProto.UINT4):
        raise call.node.unusable(f"casts to {type_name(to)}, which is not supported")
    dtype = held_dtype(to, str(call.node))
    return x if x.dtype == dtype else x.to(dtype)


def _cast_like(call: Call) -> Tensor:
    return call.tensor(0).to(call.tensor(1).dtype)


OPERATORS: dict[str, Operator] = {
    "Cast": _cast,
    "CastLike": _cast_like,
    "ConstantOfShape": _constant_of_shape,
    "EyeLike": _eye_like,
    "Identity": lambda call: call.tensor(0),
    "Range": _range,
    "Shape": _shape,
    "Size": _size,
}
