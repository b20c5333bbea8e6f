"""Pooling of one to three spatial axes, its indices, and the way back."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from compression.onnx_torch.node import Call, Operator, Outputs
from compression.onnx_torch.operators.windows import Window, read_window

_MAX: dict[int, Callable[..., Tensor]] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_AVERAGE: dict[int, Callable[..., Tensor]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
_CONV: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def _read(call: Call, x: Tensor) -> tuple[Window, bool]:
    kernel = call.integers("kernel_shape") or []
    if len(kernel) != x.ndim - 2 or len(kernel) not in _MAX:
        raise call.node.unusable(f"kernel_shape {kernel} does not fit an input of {x.ndim} axes")
    return read_window(call, kernel, x.shape[2:]), bool(call.integer("ceil_mode", 0))


def _rounded_up(window: Window, sizes: Sequence[int]) -> Window:
    """`window` with its end pads grown so that the last, started window of ceil_mode is whole.

    A window that would start in the end pad is left out (ONNX MaxPool-22; torch does the same).
    """
    ends = []
    for size, extent, stride, begin, end in zip(
        sizes, window.extents, window.strides, window.begins, window.ends, strict=True
    ):
        count = -(-(size + begin + end - extent) // stride) + 1
        if (count - 1) * stride >= size + begin:
            count -= 1
        ends.append(end + max(0, (count - 1) * stride + extent - (size + begin + end)))
    return replace(window, ends=tuple(ends))


def _max_pool(call: Call) -> Outputs:
    given = call.tensor(0)
    x = given if given.is_floating_point() else given.float()  # 8-bit integers are exact in float32
    window, ceil_mode = _read(call, x)
    if ceil_mode:
        window = _rounded_up(window, x.shape[2:])
    indexed = len(call.node.outputs) > 1
    within = window.symmetric and all(0 <= 2 * b <= k for b, k in zip(window.begins, window.kernel, strict=True))
    padded, padding = (x, window.begins) if within else (window.pad(x, -math.inf), (0,) * len(window.kernel))
    found = _MAX[len(window.kernel)](
        padded, window.kernel, window.strides, padding, window.dilations, return_indices=indexed
    )
    if not indexed:
        return found.to(given.dtype)
    values, places = found
    return values.to(given.dtype), _flat_indices(
        call, x, places, padded.shape[2:], window.begins if not within else None
    )


def _flat_indices(call: Call, x: Tensor, places: Tensor, sizes: Sequence[int], begins: Sequence[int] | None) -> Tensor:
    """From torch's places in one (padded) plane to ONNX's places in the whole tensor."""
    coordinates = []
    for size, begin in zip(reversed(sizes), reversed(begins or [0] * len(sizes)), strict=True):
        coordinates.append(places % size - begin)
        places = places // size
    own = list(x.shape[2:])
    if not call.integer("storage_order", 0):
        coordinates.reverse()
    else:
        own.reverse()
    flat = torch.zeros_like(places)
    for size, coordinate in zip(own, coordinates, strict=True):
        flat = flat * size + coordinate
    planes = torch.arange(x.shape[0] * x.shape[1]).reshape(x.shape[0], x.shape[1], *[1] * len(own))
    return flat + planes * math.prod(own)


def _max_unpool(call: Call) -> Tensor:
    x, places, shape = call.tensor(0), call.tensor(1), call.listed("", 2)
    kernel = call.integers("kernel_shape") or []
    strides = call.integers("strides") or [1] * len(kernel)
    pads = call.integers("pads") or [0] * (2 * len(kernel))
    rank = len(kernel)
    own = [
        (size - 1) * stride - pads[axis] - pads[axis + rank] + k
        for axis, (size, stride, k) in enumerate(zip(x.shape[2:], strides, kernel, strict=True))
    ]
    whole = [*x.shape[:2], *own]
    flat = x.new_zeros(math.prod(whole)).scatter(0, places.reshape(-1), x.reshape(-1)).reshape(whole)
    if shape is None or shape == whole:
        return flat
    # The indices are of the small tensor; a larger one has the same rows, further apart.
    return F.pad(flat, [n for axis in range(rank - 1, -1, -1) for n in (0, shape[2 + axis] - own[axis])])


def _average_pool(call: Call) -> Tensor:
    x = call.tensor(0)
    window, ceil_mode = _read(call, x)
    count_pads = bool(call.integer("count_include_pad", 0))
    rank = len(window.kernel)
    plain = window.symmetric and not ceil_mode and max(window.dilations) == 1
    if plain and all(0 <= 2 * b <= k for b, k in zip(window.begins, window.kernel, strict=True)):
        return _AVERAGE[rank](x, window.kernel, window.strides, window.begins, count_include_pad=count_pads)
    whole = _rounded_up(window, x.shape[2:]) if ceil_mode else window
    counted = x.new_ones((1, 1, *x.shape[2:]))
    if count_pads:  # the pads of the node count, what ceil_mode adds does not
        counted = window.pad(counted, 1.0)
        rest = tuple(w - e for w, e in zip(whole.ends, window.ends, strict=True))
        counted = replace(window, begins=(0,) * rank, ends=rest).pad(counted)
    else:
        counted = whole.pad(counted)
    planes = whole.pad(x).flatten(0, 1).unsqueeze(1)
    ones = x.new_ones((1, 1, *window.kernel))
    sums, counts = (_CONV[rank](v, ones, None, window.strides, 0, window.dilations) for v in (planes, counted))
    return (sums / counts).reshape(*x.shape[:2], *sums.shape[2:])


def _lp_pool(call: Call) -> Tensor:
    x, p = call.tensor(0), call.integer("p", 2)
    window, ceil_mode = _read(call, x)
    window = _rounded_up(window, x.shape[2:]) if ceil_mode else window
    planes = window.pad(x.abs() ** p).flatten(0, 1).unsqueeze(1)
    rank = len(window.kernel)
    sums = _CONV[rank](planes, x.new_ones((1, 1, *window.kernel)), None, window.strides, 0, window.dilations)
    return (sums ** (1 / p)).reshape(*x.shape[:2], *sums.shape[2:])


def _global_average(call: Call) -> Tensor:
    x = call.tensor(0)
    return x.mean(dim=list(range(2, x.ndim)), keepdim=True)


def _global_max(call: Call) -> Tensor:
    x = call.tensor(0)
    return x.amax(dim=list(range(2, x.ndim)), keepdim=True)


def _global_lp(call: Call) -> Tensor:
    x, p = call.tensor(0), call.integer("p", 2)
    return (x.abs() ** p).sum(dim=list(range(2, x.ndim)), keepdim=True) ** (1 / p)


OPERATORS: dict[str, Operator] = {
    "AveragePool": _average_pool,
    "GlobalAveragePool": _global_average,
    "GlobalLpPool": _global_lp,
    "GlobalMaxPool": _global_max,
    "LpPool": _lp_pool,
    "MaxPool": _max_pool,
    "MaxUnpool": _max_unpool,
}
