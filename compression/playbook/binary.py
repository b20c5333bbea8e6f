"""Weights of one bit, the extreme of section 5.8 (Iandola & Keutzer 2017; XNOR-Net, Rastegari et al. 2016, sections 3.1 and 3.3).

Only weights are binary here: activations stay float32, so any runtime runs the result, and its MACs are ordinary ones.
"""

from typing import Any

import torch
from torch import nn

from compression.playbook.rewriting import pair, rewrite

MOVE = "binary weights"


class BinarySign(torch.autograd.Function):
    """The sign, +1 for 0; its gradient is let through where the weight is within -1..1 (XNOR-Net, section 3.1)."""

    @staticmethod
    def forward(ctx: Any, weight: torch.Tensor) -> torch.Tensor:
        """Float32 of any shape to -1 or +1."""
        ctx.save_for_backward(weight)
        return torch.where(weight < 0, -1.0, 1.0)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        """The straight-through gradient."""
        (weight,) = ctx.saved_tensors
        passed: torch.Tensor = gradient * (weight.abs() <= 1)
        return passed


def binary_weights(weight: torch.Tensor) -> torch.Tensor:
    """sign(W) times the mean of |W| of each filter: the nearest such tensor to W (XNOR-Net, equation 6). First axis: filters."""
    scale = weight.abs().mean(dim=tuple(range(1, weight.dim())), keepdim=True)
    signs: torch.Tensor = BinarySign.apply(weight)  # type: ignore[no-untyped-call]
    binary: torch.Tensor = scale * signs
    return binary


class BinaryConv2d(nn.Conv2d):
    """A convolution that computes with binary weights and trains the float32 ones behind them."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32 [N, in, H, W] to [N, out, H', W']."""
        answer: torch.Tensor = self._conv_forward(x, binary_weights(self.weight), self.bias)
        return answer


class BinaryLinear(nn.Linear):
    """A fully connected layer that computes with binary weights and trains the float32 ones behind them."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32 [N, in] to [N, out]."""
        return nn.functional.linear(x, binary_weights(self.weight), self.bias)


def binarise(net: nn.Module, *, first_and_last: bool = False) -> nn.Module:
    """Let every layer compute with sign times mean magnitude, still trainable; then `settle` writes such weights down.

    The parameters and MACs of the graph stay; the information falls from 32 bits a weight to 1, plus 32 a filter:
    weights / 8 + 4·filters bytes. In the file the weights remain floats with two values per filter, which the packed form of
    the codec brings near that figure.

    Args:
        net: any module; its first and last convolution or fully connected layer stay as they are, as in XNOR-Net, section 4.1.
        first_and_last: change these two as well.

    Raises:
        ModelUnusable: there is no layer between the first and the last.
    """
    layers = [name for name, module in net.named_modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    spared = set() if first_and_last else {*layers[:1], *layers[-1:]}

    def rule(name: str, module: nn.Module) -> nn.Module | None:
        if name in spared or type(module) not in {nn.Conv2d, nn.Linear}:
            return None
        return _with_weights(module, BinaryConv2d, BinaryLinear)

    return rewrite(net, rule, move=MOVE)


def settle(net: nn.Module) -> nn.Module:
    """The same function with ordinary layers that hold the binary weights, for export.

    Raises:
        ModelUnusable: there is no binary layer.
    """

    def rule(_: str, module: nn.Module) -> nn.Module | None:
        return _with_weights(module, nn.Conv2d, nn.Linear) if isinstance(module, (BinaryConv2d, BinaryLinear)) else None

    settled = rewrite(net, rule, move="settled " + MOVE)
    with torch.no_grad():
        for name, module in net.named_modules():
            if isinstance(module, (BinaryConv2d, BinaryLinear)):
                settled.get_parameter(f"{name}.weight" if name else "weight").copy_(binary_weights(module.weight))
    return settled


def _with_weights(module: nn.Module, conv: type[nn.Conv2d], linear: type[nn.Linear]) -> nn.Module:
    """A layer of the other class with the same settings and a copy of the weights."""
    other: nn.Conv2d | nn.Linear
    if isinstance(module, nn.Conv2d):
        other = conv(
            module.in_channels,
            module.out_channels,
            pair(module.kernel_size),
            stride=pair(module.stride),
            padding=module.padding if isinstance(module.padding, str) else pair(module.padding),
            dilation=pair(module.dilation),
            groups=module.groups,
            bias=module.bias is not None,
        )
    elif isinstance(module, nn.Linear):
        other = linear(module.in_features, module.out_features, bias=module.bias is not None)
    else:
        raise TypeError(f"{type(module).__name__} is neither a convolution nor fully connected")
    other.load_state_dict(module.state_dict())
    return other.train(module.training)
