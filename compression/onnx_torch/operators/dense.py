"""Products of matrices."""

import torch
from torch import Tensor

from compression.onnx_torch.node import Call, Operator


def _gemm(call: Call) -> Tensor:
    a, b, c = call.tensor(0), call.tensor(1), call.optional(2)
    a = a.mT if call.integer("transA", 0) else a
    b = b.mT if call.integer("transB", 0) else b
    alpha, beta = call.number("alpha", 1.0), call.number("beta", 1.0)
    y = a @ b
    if alpha != 1:
        y = alpha * y
    return y if c is None else y + (c if beta == 1 else beta * c)


def _matmul(call: Call) -> Tensor:
    return call.tensor(0) @ call.tensor(1)


def _matmul_integer(call: Call) -> Tensor:
    # Codes are held as floats, so the sums are float32: exact up to 2**24, and right to one part in 2**24 above.
    a, b = call.tensor(0).float(), call.tensor(1).float()
    a_zero, b_zero = call.optional(2), call.optional(3)
    if a_zero is not None:
        a = a - (a_zero.unsqueeze(-1) if a_zero.ndim == 1 and a_zero.numel() > 1 else a_zero)
    if b_zero is not None:
        b = b - b_zero
    return a @ b


def _einsum(call: Call) -> Tensor:
    return torch.einsum(call.text("equation", "").replace(" ", ""), *call.present())


def _matmul_4_bits(call: Call) -> Tensor:
    """Weights of 4 bits, two in a byte, low one first, in blocks along K: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md."""
    x, packed, scales, zero_points = call.tensor(0), call.tensor(1), call.tensor(2), call.optional(3)
    bits, depth, width, block = (call.integer(name, 0) for name in ("bits", "K", "N", "block_size"))
    if bits != 4 or (zero_points is not None and zero_points.is_floating_point()):
        raise call.node.unusable("only 4 bits with integer zero points are supported")
    codes = torch.stack((packed & 15, packed >> 4), dim=-1).reshape(width, -1, block).to(scales.dtype)
    blocks = codes.shape[1]
    zero: Tensor | float = 8.0
    if zero_points is not None:
        rows = zero_points.reshape(width, -1)
        zero = torch.stack((rows & 15, rows >> 4), dim=-1).reshape(width, -1)[:, :blocks, None]
    weight = ((codes - zero) * scales.reshape(width, blocks, 1)).reshape(width, -1)[:, :depth]
    y = x @ weight.T
    bias = call.optional(5)
    return y if bias is None else y + bias


OPERATORS: dict[str, Operator] = {
    "Einsum": _einsum,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "MatMulInteger": _matmul_integer,
}
MICROSOFT: dict[str, Operator] = {"MatMulNBits": _matmul_4_bits}
