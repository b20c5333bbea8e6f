"""Operators that work value by value, with numpy's broadcasting, and those that choose or clip."""

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from compression.onnx_torch.node import Call, Operator


def _unary(function: Callable[[Tensor], Tensor]) -> Operator:
    return lambda call: function(call.tensor(0))


def _binary(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    return lambda call: function(call.tensor(0), call.tensor(1))


def _fold(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    return lambda call: functools.reduce(function, call.present())


def _divide(a: Tensor, b: Tensor) -> Tensor:
    if a.is_floating_point() or b.is_floating_point():
        return a / b
    return torch.div(a, b, rounding_mode="trunc")


def _power(a: Tensor, b: Tensor) -> Tensor:
    return torch.pow(a, b).to(a.dtype)


def _mod(call: Call) -> Tensor:
    function = torch.fmod if call.integer("fmod", 0) else torch.remainder
    return function(call.tensor(0), call.tensor(1))


def _mean(call: Call) -> Tensor:
    values = call.present()
    return functools.reduce(torch.add, values) / len(values)


def _clip(call: Call) -> Tensor:
    x, low, high = call.tensor(0), call.optional(1), call.optional(2)
    if low is None and "min" in call.node.attributes:
        low = x.new_tensor(call.number("min", 0))
    if high is None and "max" in call.node.attributes:
        high = x.new_tensor(call.number("max", 0))
    # One after the other, as the operator's text says: where min > max, everything becomes max.
    x = x if low is None else torch.maximum(x, low)
    return x if high is None else torch.minimum(x, high)


def _leaky_relu(call: Call) -> Tensor:
    return F.leaky_relu(call.tensor(0), call.number("alpha", 0.01))


def _prelu(call: Call) -> Tensor:
    x, slope = call.tensor(0), call.tensor(1)
    return torch.where(x < 0, slope * x, x)


def _elu(call: Call) -> Tensor:
    return F.elu(call.tensor(0), call.number("alpha", 1.0))


def _celu(call: Call) -> Tensor:
    return F.celu(call.tensor(0), call.number("alpha", 1.0))


def _selu(call: Call) -> Tensor:
    x = call.tensor(0)
    alpha, gamma = call.number("alpha", 1.6732632423543772), call.number("gamma", 1.0507009873554805)
    return gamma * torch.where(x > 0, x, alpha * torch.expm1(x.clamp(max=0)))


def _hard_sigmoid(call: Call) -> Tensor:
    return (call.number("alpha", 0.2) * call.tensor(0) + call.number("beta", 0.5)).clamp(0, 1)


def _thresholded_relu(call: Call) -> Tensor:
    x = call.tensor(0)
    return torch.where(x > call.number("alpha", 1.0), x, torch.zeros_like(x))


def _shrink(call: Call) -> Tensor:
    x, bias, limit = call.tensor(0), call.number("bias", 0.0), call.number("lambd", 0.5)
    zero = torch.zeros_like(x)
    return torch.where(x < -limit, x + bias, torch.where(x > limit, x - bias, zero))


def _gelu(call: Call) -> Tensor:
    return F.gelu(call.tensor(0), approximate=call.text("approximate", "none"))


def _swish(call: Call) -> Tensor:
    x = call.tensor(0)
    return x * torch.sigmoid(call.number("alpha", 1.0) * x)


def _bias_gelu(call: Call) -> Tensor:
    return F.gelu(call.tensor(0) + call.tensor(1))


def _where(call: Call) -> Tensor:
    return torch.where(call.tensor(0), call.tensor(1), call.tensor(2))


def _is_inf(call: Call) -> Tensor:
    x = call.tensor(0)
    low = torch.isneginf(x) if call.integer("detect_negative", 1) else torch.zeros_like(x, dtype=torch.bool)
    return low | torch.isposinf(x) if call.integer("detect_positive", 1) else low


def _hard_swish(x: Tensor) -> Tensor:
    return x * (x / 6 + 0.5).clamp(0, 1)


OPERATORS: dict[str, Operator] = {
    "Abs": _unary(torch.abs),
    "Acos": _unary(torch.acos),
    "Acosh": _unary(torch.acosh),
    "Asin": _unary(torch.asin),
    "Asinh": _unary(torch.asinh),
    "Atan": _unary(torch.atan),
    "Atanh": _unary(torch.atanh),
    "Ceil": _unary(torch.ceil),
    "Cos": _unary(torch.cos),
    "Cosh": _unary(torch.cosh),
    "Erf": _unary(torch.erf),
    "Exp": _unary(torch.exp),
    "Floor": _unary(torch.floor),
    "HardSwish": _unary(_hard_swish),
    "IsNaN": _unary(torch.isnan),
    "Log": _unary(torch.log),
    "Mish": _unary(F.mish),
    "Neg": _unary(torch.neg),
    "Not": _unary(torch.logical_not),
    "Reciprocal": _unary(torch.reciprocal),
    "Relu": _unary(torch.relu),
    "Round": _unary(torch.round),
    "Sigmoid": _unary(torch.sigmoid),
    "Sign": _unary(torch.sign),
    "Sin": _unary(torch.sin),
    "Sinh": _unary(torch.sinh),
    # Without torch's shortcut above 20, which would be another function by 2e-9.
    "Softplus": _unary(lambda x: torch.logaddexp(x, torch.zeros_like(x))),
    "Softsign": _unary(F.softsign),
    "Sqrt": _unary(torch.sqrt),
    "Tan": _unary(torch.tan),
    "Tanh": _unary(torch.tanh),
    "Add": _binary(torch.add),
    "Div": _binary(_divide),
    "Mul": _binary(torch.mul),
    "Pow": _binary(_power),
    "Sub": _binary(torch.sub),
    "And": _binary(torch.logical_and),
    "Or": _binary(torch.logical_or),
    "Xor": _binary(torch.logical_xor),
    "Equal": _binary(torch.eq),
    "Greater": _binary(torch.gt),
    "GreaterOrEqual": _binary(torch.ge),
    "Less": _binary(torch.lt),
    "LessOrEqual": _binary(torch.le),
    "Max": _fold(torch.maximum),
    "Min": _fold(torch.minimum),
    "Sum": _fold(torch.add),
    "Mean": _mean,
    "Mod": _mod,
    "Celu": _celu,
    "Clip": _clip,
    "Elu": _elu,
    "Gelu": _gelu,
    "HardSigmoid": _hard_sigmoid,
    "IsInf": _is_inf,
    "LeakyRelu": _leaky_relu,
    "PRelu": _prelu,
    "Selu": _selu,
    "Shrink": _shrink,
    "Swish": _swish,
    "ThresholdedRelu": _thresholded_relu,
    "Where": _where,
}
MICROSOFT: dict[str, Operator] = {
    "BiasGelu": _bias_gelu,
    "FastGelu": lambda call: F.gelu(
        functools.reduce(torch.add, call.present()),
        approximate="tanh",
    ),
    "Gelu": _unary(F.gelu),
    "QuickGelu": lambda call: call.tensor(0) * torch.sigmoid(call.number("alpha", 1.702) * call.tensor(0)),
}
