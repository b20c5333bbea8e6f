"""Convolutions that do not let every channel see every other one (Iandola & Keutzer 2017, section 5.6), and the shuffle between them (5.7)."""

import torch
from torch import nn

from compression.onnx_operators import ChannelShuffle
from compression.playbook.rewriting import Choice, every, pair, rewrite


def group_convolutions(net: nn.Module, groups: int, *, only: Choice = every) -> nn.Module:
    """Let each of `groups` parts of the output channels see its own part of the input channels only; the weights within stay.

    Section 5.6. I·O·k² weights and MACs per place become I·O·k² / groups; biases stay. To be trained again. Layers whose
    channels are no multiple of `groups` stay as they are: the first of nearly every net is such.

    Raises:
        ModelUnusable: no layer can be changed.
    """

    def rule(name: str, module: nn.Module) -> nn.Module | None:
        if not isinstance(module, nn.Conv2d) or module.groups > 1 or groups < 2 or not only(name, module):
            return None
        if module.in_channels % groups or module.out_channels % groups:
            return None
        grouped = _same(module, groups)
        inputs, outputs = module.in_channels // groups, module.out_channels // groups
        with torch.no_grad():
            for group in range(groups):
                mine = slice(group * outputs, (group + 1) * outputs)
                grouped.weight[mine] = module.weight[mine, group * inputs : (group + 1) * inputs]
            if module.bias is not None and grouped.bias is not None:
                grouped.bias.copy_(module.bias)
        return grouped

    return rewrite(net, rule, move="group convolution")


def depthwise_separable(net: nn.Module, *, only: Choice = every) -> nn.Module:
    """Replace each k x k convolution by one k x k filter per input channel and a 1x1 convolution that mixes the channels.

    Section 5.6, as in MobileNets (Howard et al. 2017, section 3.1). I·O·k² weights and MACs per place become I·k² + I·O, a
    share of 1/O + 1/k²; the bias goes to the 1x1 layer. Each input channel's O filters [O, k²] are replaced by the rank-one matrix
    nearest to them (Eckart and Young), so a net that was separable already computes the same; others are to be trained again.

    Args:
        net: any module; convolutions larger than 1x1 without groups are changed.
        only: which of them, by name and layer.

    Raises:
        ModelUnusable: no layer can be changed.
    """

    def rule(name: str, module: nn.Module) -> nn.Module | None:
        if not isinstance(module, nn.Conv2d) or module.kernel_size == (1, 1) or module.groups > 1:
            return None
        return _separated(module) if only(name, module) else None

    return rewrite(net, rule, move="depthwise separable convolution")


def _separated(conv: nn.Conv2d) -> nn.Sequential:
    depthwise = nn.Conv2d(
        conv.in_channels,
        conv.in_channels,
        pair(conv.kernel_size),
        stride=pair(conv.stride),
        padding=conv.padding if isinstance(conv.padding, str) else pair(conv.padding),
        dilation=pair(conv.dilation),
        groups=conv.in_channels,
        bias=False,
    )
    pointwise = nn.Conv2d(conv.in_channels, conv.out_channels, 1, bias=conv.bias is not None)
    with torch.no_grad():
        # [in, out, k²]: one matrix per input channel.
        left, scale, right = torch.linalg.svd(conv.weight.transpose(0, 1).flatten(2), full_matrices=False)
        depthwise.weight.copy_(right[:, 0].reshape(depthwise.weight.shape))
        pointwise.weight.copy_((left[:, :, 0] * scale[:, :1]).T[:, :, None, None])
        if conv.bias is not None and pointwise.bias is not None:
            pointwise.bias.copy_(conv.bias)
    return nn.Sequential(depthwise, pointwise)


def shuffle_groups(net: nn.Module, *, only: Choice = every) -> nn.Module:
    """Put a channel shuffle behind every group convolution, so that the next one sees channels of every group.

    Section 5.7. Parameters and MACs do not change; the map is moved in memory once. To be trained again. Depthwise convolutions
    are left alone: the 1x1 layer behind them mixes all channels.

    Raises:
        ModelUnusable: there is no group convolution.
    """

    def rule(name: str, module: nn.Module) -> nn.Module | None:
        if not isinstance(module, nn.Conv2d) or module.groups in {1, module.in_channels} or not only(name, module):
            return None
        return nn.Sequential(module, ChannelShuffle(module.groups))

    return rewrite(net, rule, move="channel shuffle")


def _same(conv: nn.Conv2d, groups: int) -> nn.Conv2d:
    return nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        pair(conv.kernel_size),
        stride=pair(conv.stride),
        padding=conv.padding if isinstance(conv.padding, str) else pair(conv.padding),
        dilation=pair(conv.dilation),
        groups=groups,
        bias=conv.bias is not None,
    )
