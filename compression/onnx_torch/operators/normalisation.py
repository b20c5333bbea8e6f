"""Normalisation, Dropout and softmax: what differs between eval and train mode is here.

In train mode BatchNormalization uses the statistics of the batch and moves the running ones by `1 - momentum` (ONNX counts momentum the other
way round than torch), with the unbiased variance as torch does (S. Ioffe and C. Szegedy, arXiv:1502.03167, section 3.1), and Dropout drops.
"""

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from compression.onnx_torch.node import Call, Operator, Outputs


def _batch_normalization(call: Call) -> Outputs:
    x, scale, shift, mean, variance = (call.tensor(index) for index in range(5))
    epsilon, momentum = call.number("epsilon", 1e-5), call.number("momentum", 0.9)
    if call.integer("training_mode", 0):
        y = F.batch_norm(x, None, None, scale, shift, training=True, eps=epsilon)
        axes = [axis for axis in range(x.ndim) if axis != 1]
        now_variance, now_mean = torch.var_mean(x, dim=axes, correction=0)
        with torch.no_grad():
            return y, mean.lerp(now_mean, 1 - momentum), variance.lerp(now_variance, 1 - momentum)
    if not call.training and not (mean.requires_grad or variance.requires_grad):
        return F.batch_norm(x, mean, variance, scale, shift, training=False, eps=epsilon)
    if not call.training:
        mean, factor, shift = (_per_channel(v, x) for v in (mean, scale * torch.rsqrt(variance + epsilon), shift))
        return (x - mean) * factor + shift
    own = call.is_statistic(3) and call.is_statistic(4)
    running_mean, running_variance = (mean, variance) if own else (None, None)
    return F.batch_norm(
        x, running_mean, running_variance, scale, shift, training=True, momentum=1 - momentum, eps=epsilon
    )


def _per_channel(values: Tensor, x: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (x.ndim - 2))


def _instance_normalization(call: Call) -> Tensor:
    return F.instance_norm(call.tensor(0), weight=call.tensor(1), bias=call.tensor(2), eps=call.number("epsilon", 1e-5))


def _layer_normalization(call: Call) -> Outputs:
    x, scale, shift = call.tensor(0), call.tensor(1), call.optional(2)
    axes = list(range(call.integer("axis", -1) % x.ndim, x.ndim))
    variance, mean = torch.var_mean(x, dim=axes, correction=0, keepdim=True)
    inverse = torch.rsqrt(variance + call.number("epsilon", 1e-5))
    y = (x - mean) * inverse * scale
    return (y if shift is None else y + shift, mean, inverse)


def _rms_normalization(call: Call) -> Tensor:
    x = call.tensor(0)
    axes = list(range(call.integer("axis", -1) % x.ndim, x.ndim))
    return x * torch.rsqrt(x.square().mean(dim=axes, keepdim=True) + call.number("epsilon", 1e-5)) * call.tensor(1)


def _group_normalization(call: Call) -> Tensor:
    x, scale, shift = call.tensor(0), call.tensor(1), call.tensor(2)
    groups = call.integer("num_groups", 1)
    if scale.numel() != x.shape[1]:  # operator set 18: one per group
        scale, shift = (v.repeat_interleave(x.shape[1] // groups) for v in (scale, shift))
    return F.group_norm(x, groups, scale, shift, call.number("epsilon", 1e-5))


def _skip_layer_normalization(call: Call) -> Outputs:
    added = call.tensor(0) + call.tensor(1)
    if (bias := call.optional(4)) is not None:
        added = added + bias
    y = F.layer_norm(added, added.shape[-1:], call.tensor(2), call.optional(3), call.number("epsilon", 1e-12))
    return (y, None, None, added)


def _lrn(call: Call) -> Tensor:
    """Krizhevsky et al. 2012, section 3.3, over channels; unlike torch's, an even size reaches one channel further ahead."""
    x, size = call.tensor(0), call.integer("size", 1)
    before, after = (size - 1) // 2, size - 1 - (size - 1) // 2
    squares = F.pad(x.square().flatten(2).unsqueeze(1), (0, 0, before, after))
    sums = (
        F.avg_pool2d(squares, (size, 1), stride=1).squeeze(1).reshape(x.shape)
    )  # the mean: the formula divides by size
    return x / (call.number("bias", 1.0) + call.number("alpha", 1e-4) * sums) ** call.number("beta", 0.75)


def _lp_normalization(call: Call) -> Tensor:
    x, axis = call.tensor(0), call.integer("axis", -1)
    norm = torch.linalg.vector_norm(x, ord=call.integer("p", 2), dim=axis, keepdim=True)
    return torch.where(norm == 0, torch.zeros_like(x), x / norm)


def _mean_variance_normalization(call: Call) -> Tensor:
    x, axes = call.tensor(0), call.integers("axes") or [0, 2, 3]
    variance, mean = torch.var_mean(x, dim=axes, correction=0, keepdim=True)
    return (x - mean) / (variance.sqrt() + 1e-9)


def _dropout(call: Call) -> Outputs:
    x, ratio, mode = call.tensor(0), call.optional(1), call.optional(2)
    share = call.number("ratio", 0.5) if ratio is None else float(ratio)
    kept = torch.ones_like(x, dtype=torch.bool)
    if not (call.training or (mode is not None and bool(mode))) or share == 0:
        return x, kept
    kept = torch.rand_like(x) >= share
    return x * kept / (1 - share), kept


def _over_axis(call: Call, *, logarithm: bool) -> Tensor:
    x = call.tensor(0)
    function = torch.log_softmax if logarithm else torch.softmax
    if call.node.opset >= 13:
        return function(x, dim=call.integer("axis", -1))
    axis = call.integer("axis", 1) % max(x.ndim, 1)
    return function(x.flatten(axis), dim=-1).reshape(x.shape)


def _hardmax(call: Call) -> Tensor:
    x, axis = call.tensor(0), call.integer("axis", -1 if call.node.opset >= 13 else 1)
    return torch.zeros_like(x).scatter(axis, x.argmax(axis, keepdim=True), 1)


OPERATORS: dict[str, Operator] = {
    "BatchNormalization": _batch_normalization,
    "Dropout": _dropout,
    "GroupNormalization": _group_normalization,
    "Hardmax": _hardmax,
    "InstanceNormalization": _instance_normalization,
    "LRN": _lrn,
    "LayerNormalization": _layer_normalization,
    "LogSoftmax": lambda call: _over_axis(call, logarithm=True),
    "LpNormalization": _lp_normalization,
    "MeanVarianceNormalization": _mean_variance_normalization,
    "RMSNormalization": _rms_normalization,
    "SimplifiedLayerNormalization": _rms_normalization,
    "Softmax": lambda call: _over_axis(call, logarithm=False),
}
MICROSOFT: dict[str, Operator] = {"SkipLayerNormalization": _skip_layer_normalization}
