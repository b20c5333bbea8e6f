"""Quantised values as floats that hold the integer codes, so that gradients pass straight through the rounding.

Straight-through estimator: Y. Bengio et al., arXiv:1308.3432; a value that is clipped to the range gets no gradient. The scale gets its gradient
by the same rule, which is learned step size quantisation (S. Esser et al., arXiv:1902.08153, equation 3).
"""

from typing import Any

import torch
from onnx import TensorProto
from torch import Tensor

from compression.onnx_torch.dtypes import INTEGER_RANGES, type_name
from compression.onnx_torch.node import Call, Operator, Outputs
from compression.onnx_torch.operators.convolution import convolve

_RANGE_OF_HELD = {
    torch.uint8: INTEGER_RANGES[TensorProto.UINT8],
    torch.int8: INTEGER_RANGES[TensorProto.INT8],
    torch.int16: INTEGER_RANGES[TensorProto.INT16],
    torch.int32: INTEGER_RANGES[TensorProto.INT32],
}


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004 - torch hands it over
        return torch.round(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ARG004
        return gradients[0]


def round_straight_through(x: Tensor) -> Tensor:
    """`x` rounded half to even; backwards it is the identity."""
    rounded: Tensor = _Round.apply(x)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return rounded


def _along(call: Call, values: Tensor | None, x: Tensor) -> Tensor | None:
    """Scales or zero points brought to the shape of `x`: one for all, one per place of an axis, or one per block."""
    if values is None or values.numel() == 1:
        return None if values is None else values.reshape(())
    axis = call.integer("axis", 1) % x.ndim
    block = call.integer("block_size", 0)
    if block:
        return values.repeat_interleave(block, dim=axis).narrow(axis, 0, x.shape[axis])
    return values.reshape([-1 if place == axis else 1 for place in range(x.ndim)])


def _code_range(call: Call, zero_point: Tensor | None) -> tuple[int, int]:
    kind = call.integer("output_dtype", 0) or call.element_type(2)
    if kind:
        if kind not in INTEGER_RANGES:
            raise call.node.unusable(f"quantises to {type_name(kind)}, which is not supported")
        return INTEGER_RANGES[kind]
    return _RANGE_OF_HELD[torch.uint8 if zero_point is None else zero_point.dtype]


def quantise(x: Tensor, scale: Tensor, zero_point: Tensor | None, low: int, high: int) -> Tensor:
    """Codes of `x` in low..high, as floats."""
    codes = round_straight_through(x / scale)
    if zero_point is not None:
        codes = codes + zero_point
    return codes.clamp(low, high)


def dequantise(codes: Tensor, scale: Tensor, zero_point: Tensor | None) -> Tensor:
    """The values that codes stand for."""
    values = codes.to(scale.dtype)
    return (values if zero_point is None else values - zero_point) * scale


def _quantize_linear(call: Call) -> Tensor:
    x, zero_point = call.tensor(0), call.optional(2)
    low, high = _code_range(call, zero_point)
    scale = _along(call, call.tensor(1), x)
    assert scale is not None  # noqa: S101 - tensor(1) is there
    return quantise(x, scale, _along(call, zero_point, x), low, high)


def _dequantize_linear(call: Call) -> Tensor:
    x = call.tensor(0)
    scale = _along(call, call.tensor(1), x)
    assert scale is not None  # noqa: S101 - tensor(1) is there
    return dequantise(x, scale, _along(call, call.optional(2), x))


def _dynamic_quantize_linear(call: Call) -> Outputs:
    x = call.tensor(0)
    low, high = x.min().clamp(max=0), x.max().clamp(min=0)
    scale = ((high - low) / 255).detach()
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    zero_point = torch.round(-low / scale).clamp(0, 255).detach()
    return quantise(x, scale, zero_point, 0, 255), scale, zero_point


def _qlinear_conv(call: Call) -> Tensor:
    x = dequantise(call.tensor(0), call.tensor(1), call.tensor(2))
    weight, scale, zero = call.tensor(3), call.tensor(4), call.tensor(5)
    per_channel = [-1, *[1] * (weight.ndim - 1)]
    weight = dequantise(weight, scale.reshape(per_channel), zero.reshape(per_channel))
    bias = call.optional(8)
    y = convolve(call, x, weight, None if bias is None else bias * call.tensor(1) * scale)
    out_zero = call.tensor(7)
    return quantise(y, call.tensor(6), out_zero, *_RANGE_OF_HELD[out_zero.dtype])


def _qlinear_matmul(call: Call) -> Tensor:
    a = dequantise(call.tensor(0), call.tensor(1), call.tensor(2))
    b = dequantise(call.tensor(3), call.tensor(4), call.tensor(5))
    out_zero = call.tensor(7)
    return quantise(a @ b, call.tensor(6), out_zero, *_RANGE_OF_HELD[out_zero.dtype])


OPERATORS: dict[str, Operator] = {
    "DequantizeLinear": _dequantize_linear,
    "DynamicQuantizeLinear": _dynamic_quantize_linear,
    "QLinearConv": _qlinear_conv,
    "QLinearMatMul": _qlinear_matmul,
    "QuantizeLinear": _quantize_linear,
}
MICROSOFT: dict[str, Operator] = {"DequantizeLinear": _dequantize_linear, "QuantizeLinear": _quantize_linear}
