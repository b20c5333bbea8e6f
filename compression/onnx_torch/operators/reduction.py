"""Reductions over axes, the places of extremes, and running sums."""

from collections.abc import Callable

import torch
from torch import Tensor

from compression.onnx_torch.node import Call, Operator, Outputs

Reduction = Callable[[Tensor, list[int], bool], Tensor]


def _reduce(function: Reduction) -> Operator:
    def run(call: Call) -> Tensor:
        x, axes = call.tensor(0), call.listed("axes", 1)
        keep = bool(call.integer("keepdims", 1))
        if not axes:
            if call.integer("noop_with_empty_axes", 0):
                axes = []
                # "Acting like an identity" leaves the function of single values: their square, their absolute value.
                return function(x.unsqueeze(-1), [x.ndim], False)  # noqa: FBT003 - a Reduction takes it by position
            axes = list(range(x.ndim))
        return function(x, axes, keep) if axes else x

    return run


def _product(x: Tensor, axes: list[int], keep: bool) -> Tensor:  # noqa: FBT001 - as every Reduction
    for axis in sorted((axis % x.ndim for axis in axes), reverse=True):
        x = x.prod(dim=axis, keepdim=keep)
    return x


def _extreme(function: Callable[..., Tensor]) -> Reduction:
    def run(x: Tensor, axes: list[int], keep: bool) -> Tensor:  # noqa: FBT001 - as every Reduction
        if x.dtype == torch.bool:
            return function(x.to(torch.uint8), axes, keepdim=keep).bool()
        return function(x, axes, keepdim=keep)

    return run


def _place(call: Call, *, largest: bool) -> Tensor:
    x, axis = call.tensor(0), call.integer("axis", 0)
    keep = bool(call.integer("keepdims", 1))
    last = bool(call.integer("select_last_index", 0))
    x = x.flip(axis) if last else x
    # The first of equals, which torch promises of argmax on a CPU only in practice: numpy's rule, made explicit.
    extreme = x.amax(axis, keepdim=True) if largest else x.amin(axis, keepdim=True)
    found = (x == extreme).to(torch.uint8).argmax(axis, keepdim=keep)
    return x.shape[axis] - 1 - found if last else found


def _top_k(call: Call) -> Outputs:
    x, given = call.tensor(0), call.optional(1)
    count = call.integer("k", 1) if given is None else int(given)
    axis = call.integer("axis", -1)
    values, places = torch.sort(x, dim=axis, descending=bool(call.integer("largest", 1)), stable=True)
    return values.narrow(axis, 0, count), places.narrow(axis, 0, count)


def _running_sum(call: Call) -> Tensor:
    x, axis = call.tensor(0), int(call.tensor(1))
    x = x.flip(axis) if call.integer("reverse", 0) else x
    total = x.cumsum(axis)
    total = total - x if call.integer("exclusive", 0) else total
    return total.flip(axis) if call.integer("reverse", 0) else total


OPERATORS: dict[str, Operator] = {
    "ArgMax": lambda call: _place(call, largest=True),
    "ArgMin": lambda call: _place(call, largest=False),
    "CumSum": _running_sum,
    "ReduceL1": _reduce(lambda x, axes, keep: x.abs().sum(axes, keepdim=keep)),
    "ReduceL2": _reduce(lambda x, axes, keep: torch.linalg.vector_norm(x, dim=axes, keepdim=keep)),
    "ReduceLogSum": _reduce(lambda x, axes, keep: x.sum(axes, keepdim=keep).log()),
    "ReduceLogSumExp": _reduce(lambda x, axes, keep: x.logsumexp(axes, keepdim=keep)),
    "ReduceMax": _reduce(_extreme(torch.amax)),
    "ReduceMean": _reduce(lambda x, axes, keep: x.mean(axes, keepdim=keep)),
    "ReduceMin": _reduce(_extreme(torch.amin)),
    "ReduceProd": _reduce(_product),
    "ReduceSum": _reduce(lambda x, axes, keep: x.sum(axes, keepdim=keep, dtype=x.dtype)),
    "ReduceSumSquare": _reduce(lambda x, axes, keep: x.square().sum(axes, keepdim=keep, dtype=x.dtype)),
    "TopK": _top_k,
}
