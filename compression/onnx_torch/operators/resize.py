"""Resize and Upsample: one matrix [new size, old size] per axis, by the formulas of the operator's text (ONNX Resize-19).

The matrices are small beside the activations they act on, and make every mode differentiable and exact at the edges.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compression.onnx_torch.node import Call, Operator

Matrix = NDArray[np.float64]


def _positions(call: Call, old: int, new: int, scale: float, roi: tuple[float, float]) -> Matrix:
    """Where each new place lies on the old axis."""
    places = np.arange(new, dtype=np.float64)
    mode = call.text("coordinate_transformation_mode", "half_pixel")
    if call.node.op == "Upsample" or (call.node.opset < 11):
        mode = "asymmetric"
    length = scale * old
    if mode == "half_pixel":
        return (places + 0.5) / scale - 0.5
    if mode == "half_pixel_symmetric":
        adjustment = new / length
        return old / 2 * (1 - adjustment) + (places + 0.5) / scale - 0.5
    if mode == "pytorch_half_pixel":
        return (places + 0.5) / scale - 0.5 if length > 1 else np.full(new, -0.5)
    if mode == "align_corners":
        return places * (old - 1) / (length - 1) if length > 1 else np.zeros(new)
    if mode == "asymmetric":
        return places / scale
    if mode == "tf_crop_and_resize":
        begin, end = roi
        if length > 1:
            return begin * (old - 1) + places * (end - begin) * (old - 1) / (length - 1)
        return np.full(new, 0.5 * (begin + end) * (old - 1))
    raise call.node.unusable(f"coordinate_transformation_mode {mode} is not supported")


_ROUNDED: dict[str, Callable[[Matrix], Matrix]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def _nearest(call: Call, positions: Matrix, old: int) -> Matrix:
    mode = call.text("nearest_mode", "round_prefer_floor")
    if call.node.op == "Upsample" or call.node.opset < 11:
        mode = "floor"
    chosen = np.clip(_ROUNDED[mode](positions), 0, old - 1).astype(np.int64)
    matrix: Matrix = np.eye(old)[chosen]
    return matrix


def _taps(
    call: Call, kernel: Callable[[Matrix], Matrix], reach: int, positions: Matrix, *, old: int, scale: float
) -> Matrix:
    """Weights of a kernel that reaches so many old places to either side; wider where `antialias` shrinks."""
    squeeze = min(scale, 1.0) if call.integer("antialias", 0) else 1.0
    wide = math.ceil(reach / squeeze)
    first = np.floor(positions).astype(np.int64)
    matrix = np.zeros((len(positions), old))
    for offset in range(-wide + 1, wide + 1):
        place = first + offset
        weight = kernel((place - positions) * squeeze)
        if call.integer("exclude_outside", 0):
            weight = np.where((place < 0) | (place >= old), 0.0, weight)
        np.add.at(matrix, (np.arange(len(positions)), np.clip(place, 0, old - 1)), weight)
    if squeeze < 1 or call.integer("exclude_outside", 0):
        matrix /= matrix.sum(axis=1, keepdims=True)
    return matrix


def _tent(distance: Matrix) -> Matrix:
    weight: Matrix = np.maximum(0.0, 1 - np.abs(distance))
    return weight


def _cubic(a: float) -> Callable[[Matrix], Matrix]:
    """R. Keys, IEEE Trans. ASSP 29(6), 1981."""

    def kernel(distance: Matrix) -> Matrix:
        x = np.abs(distance)
        inner = (a + 2) * x**3 - (a + 3) * x**2 + 1
        outer = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
        return np.where(x <= 1, inner, np.where(x < 2, outer, 0.0))

    return kernel


def _matrix(call: Call, old: int, new: int, scale: float, roi: tuple[float, float]) -> tuple[Matrix, NDArray[np.bool_]]:
    """The matrix, and which new places lie outside the old axis (for tf_crop_and_resize)."""
    positions = _positions(call, old, new, scale, roi)
    outside = (positions < 0) | (positions > old - 1)
    mode = call.text("mode", "nearest")
    if mode == "nearest":
        return _nearest(call, positions, old), outside
    if mode in ("linear", "bilinear"):
        return _taps(call, _tent, 1, positions, old=old, scale=scale), outside
    if mode == "cubic":
        return _taps(call, _cubic(call.number("cubic_coeff_a", -0.75)), 2, positions, old=old, scale=scale), outside
    raise call.node.unusable(f"mode {mode} is not supported")


def _scales_and_sizes(call: Call, x: Tensor, axes: list[int]) -> tuple[list[float], list[int]]:
    sizes = None
    if call.node.op == "Upsample" or call.node.opset < 11:
        given = call.optional(1)
        scales = [float(s) for s in (call.node.attributes["scales"] if given is None else given.tolist())]
    else:
        scale_input, size_input = call.optional(2), call.optional(3)
        scales = [] if scale_input is None else scale_input.tolist()
        sizes = None if size_input is None else [int(size) for size in size_input.tolist()]
    own = [x.shape[axis] for axis in axes]
    if not sizes:
        return scales, [math.floor(old * scale) for old, scale in zip(own, scales, strict=True)]
    scales = [new / old for old, new in zip(own, sizes, strict=True)]
    policy = call.text("keep_aspect_ratio_policy", "stretch")
    if policy != "stretch":
        scale = min(scales) if policy == "not_larger" else max(scales)
        return [scale] * len(own), [math.floor(old * scale + 0.5) for old in own]
    return scales, sizes


def _resize(call: Call) -> Tensor:
    x = given = call.tensor(0)
    axes = [axis % x.ndim for axis in call.integers("axes") or range(x.ndim)]
    scales, sizes = _scales_and_sizes(call, x, axes)
    roi_input = call.optional(1)
    crops = call.text("coordinate_transformation_mode", "") == "tf_crop_and_resize"
    roi = roi_input.tolist() if crops and roi_input is not None else [0.0] * len(axes) + [1.0] * len(axes)
    x = x if x.is_floating_point() else x.float()
    for place, (axis, scale, new) in enumerate(zip(axes, scales, sizes, strict=True)):
        old = x.shape[axis]
        if old == new and scale == 1 and not crops:
            continue
        matrix, outside = _matrix(call, old, new, scale, (roi[place], roi[place + len(axes)]))
        if call.text("mode", "nearest") == "nearest":
            x = x.index_select(axis, torch.from_numpy(matrix.argmax(axis=1)).to(x.device))
        else:
            x = (x.movedim(axis, -1) @ torch.from_numpy(matrix.T).to(x)).movedim(-1, axis)
        if crops and outside.any():
            shape = [1] * x.ndim
            shape[axis] = new
            there = torch.from_numpy(outside).reshape(shape).to(x.device)
            x = torch.where(there, x.new_tensor(call.number("extrapolation_value", 0.0)), x)
    return x if given.is_floating_point() else x.round().to(given.dtype)


OPERATORS: dict[str, Operator] = {"Resize": _resize, "Upsample": _resize}
