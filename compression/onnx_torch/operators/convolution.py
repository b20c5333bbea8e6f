"""Conv and ConvTranspose of one to three spatial axes, and the integer Conv of dynamically quantised nets."""

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from compression.onnx_torch.node import Call, Operator
from compression.onnx_torch.operators.windows import pad_spatial, read_window

_CONV: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED: dict[int, Callable[..., Tensor]] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def convolve(call: Call, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`x` [N, C, ...] with `weight` [M, C/group, ...] under the node's pads, strides, dilations and group."""
    rank = weight.ndim - 2
    if rank not in _CONV:
        raise call.node.unusable(f"convolves {rank} spatial axes; 1 to 3 are supported")
    window = read_window(call, weight.shape[2:], x.shape[2:])
    padding: tuple[int, ...] = window.begins
    if not window.symmetric or min(padding) < 0:
        x, padding = window.pad(x), (0,) * rank
    return _CONV[rank](x, weight, bias, window.strides, padding, window.dilations, call.integer("group", 1))


def _conv(call: Call) -> Tensor:
    return convolve(call, call.tensor(0), call.tensor(1), call.optional(2))


def _conv_integer(call: Call) -> Tensor:
    # Codes are held as floats, so the sums are float32: exact up to 2**24, and right to one part in 2**24 above.
    x, weight = call.tensor(0).float(), call.tensor(1).float()
    x_zero, w_zero = call.optional(2), call.optional(3)
    if x_zero is not None:
        x = x - x_zero
    if w_zero is not None:
        weight = weight - w_zero.reshape(-1, *[1] * (weight.ndim - 1))
    return convolve(call, x, weight, None)


def _conv_transpose(call: Call) -> Tensor:
    x, weight, bias = call.tensor(0), call.tensor(1), call.optional(2)
    rank = weight.ndim - 2
    if rank not in _TRANSPOSED:
        raise call.node.unusable(f"convolves {rank} spatial axes; 1 to 3 are supported")
    strides = call.integers("strides") or [1] * rank
    dilations = call.integers("dilations") or [1] * rank
    extra = call.integers("output_padding") or [0] * rank
    whole = [
        (size - 1) * stride + (k - 1) * dilation + 1
        for size, stride, k, dilation in zip(x.shape[2:], strides, weight.shape[2:], dilations, strict=True)
    ]
    auto, shape = call.text("auto_pad", "NOTSET"), call.integers("output_shape")
    if shape is None and auto in ("SAME_UPPER", "SAME_LOWER"):
        shape = [size * stride for size, stride in zip(x.shape[2:], strides, strict=True)]
    if shape is not None:
        totals = [w + e - s for w, e, s in zip(whole, extra, shape[-rank:], strict=True)]
        halves = [total // 2 for total in totals]
        others = [total - half for total, half in zip(totals, halves, strict=True)]
        begins, ends = (halves, others) if auto == "SAME_UPPER" else (others, halves)
    else:
        pads = call.integers("pads") or [0] * (2 * rank)
        begins, ends = pads[:rank], pads[rank:]
    group = call.integer("group", 1)
    if (
        begins == ends
        and all(e < max(s, d) for e, s, d in zip(extra, strides, dilations, strict=True))
        and min(begins) >= 0
    ):
        return _TRANSPOSED[rank](x, weight, bias, strides, begins, extra, group, dilations)
    y = _TRANSPOSED[rank](x, weight, None, strides, 0, 0, group, dilations)
    y = pad_spatial(y, [-b for b in begins], [e - end for e, end in zip(extra, ends, strict=True)])
    return y if bias is None else y + bias.reshape(-1, *[1] * rank)


OPERATORS: dict[str, Operator] = {
    "Conv": _conv,
    "ConvInteger": _conv_integer,
    "ConvTranspose": _conv_transpose,
}


def _fused_conv(call: Call) -> Tensor:
    y = _conv(call)
    if (added := call.optional(3)) is not None:
        y = y + added
    activation = call.text("activation", "")
    if activation not in _ACTIVATIONS:
        raise call.node.unusable(f"fused activation {activation} is not supported")
    return _ACTIVATIONS[activation](y)


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "": lambda y: y,
    "Relu": torch.relu,
    "Sigmoid": torch.sigmoid,
    "Tanh": torch.tanh,
}
MICROSOFT: dict[str, Operator] = {"FusedConv": _fused_conv}
