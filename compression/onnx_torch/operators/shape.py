"""Operators that move values about without computing with them."""

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from compression.onnx_torch.node import Call, Operator, Outputs


def _concat(call: Call) -> Tensor:
    return torch.cat(call.present(), dim=call.integer("axis", 1))


def _split(call: Call) -> Outputs:
    x, sizes = call.tensor(0), call.listed("split", 1)
    axis = call.integer("axis", 0)
    if sizes is None:
        each = -(-x.shape[axis] // len(call.node.outputs))
        return torch.split(x, each, dim=axis)
    return torch.split(x, sizes, dim=axis)


def _slice(call: Call) -> Tensor:
    x = call.tensor(0)
    starts, ends = call.listed("starts", 1) or [], call.listed("ends", 2) or []
    axes = call.listed("axes", 3)
    steps = call.listed("steps", 4) or [1] * len(starts)
    for axis, start, end, step in zip(range(len(starts)) if axes is None else axes, starts, ends, steps, strict=True):
        places = range(x.shape[axis])[slice(start, None if step < 0 and end < -x.shape[axis] else end, step)]
        if step == 1:
            x = x.narrow(axis, places.start if len(places) else 0, len(places))
        else:
            x = x.index_select(axis, torch.tensor(list(places), dtype=torch.int64, device=x.device))
    return x


def _wrapped(indices: Tensor, size: int) -> Tensor:
    indices = indices.long()
    return torch.where(indices < 0, indices + size, indices)


def _gather(call: Call) -> Tensor:
    x, axis = call.tensor(0), call.integer("axis", 0) % call.tensor(0).ndim
    indices = _wrapped(call.tensor(1), x.shape[axis])
    return x.index_select(axis, indices.reshape(-1)).reshape([*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]])


def _gather_elements(call: Call) -> Tensor:
    x, axis = call.tensor(0), call.integer("axis", 0)
    return x.gather(axis, _wrapped(call.tensor(1), x.shape[axis]))


def _gather_nd(call: Call) -> Tensor:
    x, indices, batch = call.tensor(0), call.tensor(1).long(), call.integer("batch_dims", 0)
    outer, depth = x.shape[:batch], indices.shape[-1]
    flat_x = x.reshape(-1, *x.shape[batch:]) if batch else x.unsqueeze(0)
    flat_i = indices.reshape(flat_x.shape[0], -1, depth)
    rows = torch.arange(flat_x.shape[0])[:, None].expand(flat_i.shape[:2])
    found = flat_x[(rows, *flat_i.unbind(-1))]
    return found.reshape([*outer, *indices.shape[batch:-1], *x.shape[batch + depth :]])


_REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def _scatter_elements(call: Call) -> Tensor:
    x, axis = call.tensor(0), call.integer("axis", 0)
    indices, updates = _wrapped(call.tensor(1), x.shape[axis]), call.tensor(2)
    reduction = call.text("reduction", "none")
    if reduction == "none":
        return x.scatter(axis, indices, updates)
    return x.scatter_reduce(axis, indices, updates, _REDUCTIONS[reduction], include_self=True)


def _scatter_nd(call: Call) -> Tensor:
    x, indices, updates = call.tensor(0), call.tensor(1).long(), call.tensor(2)
    reduction = call.text("reduction", "none")
    if reduction in ("none", "add"):
        return x.index_put(indices.unbind(-1), updates, accumulate=reduction == "add")
    depth = indices.shape[-1]
    rows = torch.zeros(indices.shape[:-1], dtype=torch.int64)
    for size, place in zip(x.shape[:depth], indices.unbind(-1), strict=True):
        rows = rows * size + _wrapped(place, size)
    flat = x.reshape(math.prod(x.shape[:depth]), -1)
    rows = rows.reshape(-1, 1).expand(-1, flat.shape[1])
    scattered = flat.scatter_reduce(0, rows, updates.reshape(rows.shape), _REDUCTIONS[reduction], include_self=True)
    return scattered.reshape(x.shape)


def _reshape(call: Call) -> Tensor:
    x, shape = call.tensor(0), call.listed("shape", 1) or []
    if not call.integer("allowzero", 0):
        shape = [x.shape[axis] if size == 0 else size for axis, size in enumerate(shape)]
    return x.reshape(shape)


def _flatten(call: Call) -> Tensor:
    x, axis = call.tensor(0), call.integer("axis", 1)
    first = math.prod(x.shape[:axis])
    return x.reshape(first, math.prod(x.shape) // first if first else math.prod(x.shape[axis:]))


def _squeeze(call: Call) -> Tensor:
    x, axes = call.tensor(0), call.listed("axes", 1)
    return x.squeeze() if axes is None else x.squeeze(tuple(axes))


def _unsqueeze(call: Call) -> Tensor:
    x, axes = call.tensor(0), call.listed("axes", 1) or []
    rank = x.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _transpose(call: Call) -> Tensor:
    x = call.tensor(0)
    return x.permute(call.integers("perm") or list(reversed(range(x.ndim))))


def _expand(call: Call) -> Tensor:
    x, shape = call.tensor(0), call.listed("shape", 1) or []
    return x.expand(np.broadcast_shapes(tuple(x.shape), tuple(shape)))


def _tile(call: Call) -> Tensor:
    return call.tensor(0).repeat(*(call.listed("repeats", 1) or []))


def _pad(call: Call) -> Tensor:
    x, pads = call.tensor(0), call.listed("pads", 1) or []
    axes = call.listed("axes", 3) or list(range(x.ndim))
    given, mode = call.optional(2), call.text("mode", "constant")
    before, after = [0] * x.ndim, [0] * x.ndim
    for place, axis in enumerate(axes):
        before[axis], after[axis] = pads[place], pads[place + len(axes)]
    if mode == "constant":
        value = call.number("value", 0.0) if given is None else given.item()
        flat = [n for pair in zip(reversed(before), reversed(after), strict=True) for n in pair]
        return F.pad(x, flat, value=value)
    for axis, (b, a) in enumerate(zip(before, after, strict=True)):
        if b or a:
            x = x.index_select(axis, torch.tensor(_mirrored(x.shape[axis], b, a, mode, call), device=x.device))
    return x


def _mirrored(size: int, before: int, after: int, mode: str, call: Call) -> Sequence[int]:
    places = range(-before, size + after)
    if mode == "edge":
        return [min(max(place, 0), size - 1) for place in places]
    if mode == "wrap":
        return [place % size for place in places]
    if mode != "reflect":
        raise call.node.unusable(f"pads in mode {mode}, which is not supported")
    period = max(2 * (size - 1), 1)
    return [min(place % period, period - place % period) for place in places]


def _depth_to_space(call: Call) -> Tensor:
    x, block = call.tensor(0), call.integer("blocksize", 1)
    n, c, h, w = x.shape
    if call.text("mode", "DCR") == "DCR":
        blocks = x.reshape(n, block, block, c // block**2, h, w).permute(0, 3, 4, 1, 5, 2)
    else:
        blocks = x.reshape(n, c // block**2, block, block, h, w).permute(0, 1, 4, 2, 5, 3)
    return blocks.reshape(n, c // block**2, h * block, w * block)


def _space_to_depth(call: Call) -> Tensor:
    x, block = call.tensor(0), call.integer("blocksize", 1)
    n, c, h, w = x.shape
    order = (0, 3, 5, 1, 2, 4) if call.text("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4)
    blocks = x.reshape(n, c, h // block, block, w // block, block).permute(order)
    return blocks.reshape(n, c * block**2, h // block, w // block)


def _trilu(call: Call) -> Tensor:
    offset = call.optional(1)
    function = torch.triu if call.integer("upper", 1) else torch.tril
    return function(call.tensor(0), diagonal=0 if offset is None else int(offset))


def _one_hot(call: Call) -> Tensor:
    indices, depth, values = call.tensor(0), int(call.tensor(1)), call.tensor(2)
    axis = call.integer("axis", -1) % (indices.ndim + 1)
    chosen = _wrapped(indices, depth).unsqueeze(axis)
    shape = [1] * (indices.ndim + 1)
    shape[axis] = depth
    return torch.where(chosen == torch.arange(depth).reshape(shape), values[1], values[0])


def _non_zero(call: Call) -> Tensor:
    return call.tensor(0).nonzero().T.contiguous()


OPERATORS: dict[str, Operator] = {
    "Concat": _concat,
    "DepthToSpace": _depth_to_space,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "NonZero": _non_zero,
    "OneHot": _one_hot,
    "Pad": _pad,
    "Reshape": _reshape,
    "ScatterElements": _scatter_elements,
    "ScatterND": _scatter_nd,
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Trilu": _trilu,
    "Unsqueeze": _unsqueeze,
}
