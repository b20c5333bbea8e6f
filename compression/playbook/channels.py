"""Fewer channels (Iandola & Keutzer 2017, section 5.4): along a whole chain, or by a squeeze in front of one layer.

A net that branches is narrowed on its file instead, where what hangs on what is known: the step `structured` of a recipe.
"""

import torch
from torch import nn

from compression.errors import ModelUnusable
from compression.playbook.rewriting import Choice, chain_of, every, rewrite

MOVE = "channel reduction"
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def reduce_channels(net: nn.Module, share: float) -> nn.Sequential:
    """Keep the share of every layer's output channels whose filters have the greatest L1 norm, and drop what reads the others.

    Section 5.4. The input and the scores keep their size. A layer between two reduced ones has about share² of its weights
    and MACs, exactly I'·O'·k² with I' and O' the rounded numbers of channels (at least one); the first and last about share.
    To be trained again. The norm as the measure is Li et al. 2016 (arXiv:1608.08710).

    Args:
        net: a chain of nn.Sequential; depthwise layers keep the channels of what they read.
        share: above 0, at most 1.

    Raises:
        ValueError: `share` is no such share.
        ModelUnusable: the net is no chain, or a layer has groups that are not one per channel.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share of channels that stay, above 0 and at most 1, not {share}")
    chain = chain_of(net, move=MOVE)
    layers = [name for name, module in chain if isinstance(module, (nn.Conv2d, nn.Linear))]
    if len(layers) < 2:
        raise ModelUnusable(f"{MOVE}: {type(net).__name__} has no two layers in a row")
    narrowed: list[nn.Module] = []
    # Which outputs of what came before are still there, and how many there were; None before the first layer.
    kept: torch.Tensor | None = None
    width = 0
    for name, module in chain:
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            kept, width = _narrow(module, kept, width, share=1.0 if name == layers[-1] else share, name=name)
        elif isinstance(module, _NORMS) and kept is not None:
            _take_norm(module, _spread(kept, width, module.num_features))
        narrowed.append(module)
    return nn.Sequential(*narrowed)


def squeeze_before(net: nn.Module, ratio: float, *, only: Choice = every) -> nn.Module:
    """Put a 1x1 convolution with ReLU in front of every larger one, so that this reads only `ratio` of the channels.

    Section 5.4, strategy 2 of SqueezeNet and the squeeze of its fire modules. I·O·k² weights and MACs per place become I·S + S·O·k²
    with S = round(ratio·I) (at least one), and S biases: 0.153 of them at ratio 1/8, k = 3, I = O. Both layers are untrained.

    Args:
        net: any module; convolutions larger than 1x1, without groups and with more than one input channel are changed.
        ratio: above 0, below 1.
        only: which of them, by name and layer.

    Raises:
        ValueError: `ratio` is no such share.
        ModelUnusable: no layer can be changed.
    """
    if not 0 < ratio < 1:
        raise ValueError(f"the squeeze ratio is above 0 and below 1, not {ratio}")

    def rule(name: str, module: nn.Module) -> nn.Module | None:
        if not isinstance(module, nn.Conv2d) or module.kernel_size == (1, 1) or module.groups > 1:
            return None
        if module.in_channels == 1 or not only(name, module):
            return None
        squeezed = max(1, round(ratio * module.in_channels))
        expand = nn.Conv2d(
            squeezed,
            module.out_channels,
            module.kernel_size,  # type: ignore[arg-type]  # two entries, typed as any number of them
            stride=module.stride,  # type: ignore[arg-type]
            padding=module.padding,  # type: ignore[arg-type]
            dilation=module.dilation,  # type: ignore[arg-type]
            bias=module.bias is not None,
        )
        return nn.Sequential(nn.Conv2d(module.in_channels, squeezed, 1), nn.ReLU(), expand)

    return rewrite(net, rule, move="squeeze")


def _narrow(
    module: nn.Conv2d | nn.Linear, kept: torch.Tensor | None, width: int, *, share: float, name: str
) -> tuple[torch.Tensor, int]:
    """Narrow one layer in place; which of its outputs stay, and how many it had."""
    weight = module.weight.detach()
    outputs = len(weight)
    depthwise = isinstance(module, nn.Conv2d) and module.groups == module.in_channels == outputs
    if isinstance(module, nn.Conv2d) and module.groups > 1 and not depthwise:
        raise ModelUnusable(f"{MOVE}: layer {name} has {module.groups} groups for {module.in_channels} channels")
    if depthwise and kept is not None:
        stay = kept
        weight = weight[stay]
    else:
        count = outputs if depthwise else max(1, round(share * outputs))
        stay = weight.abs().flatten(1).sum(dim=1).topk(count).indices.sort().values
        weight = weight[stay]
        if kept is not None:
            weight = weight[:, _spread(kept, width, weight.shape[1])]
    module.weight = nn.Parameter(weight.clone())
    if module.bias is not None:
        module.bias = nn.Parameter(module.bias.detach()[stay].clone())
    if isinstance(module, nn.Conv2d):
        module.out_channels = len(stay)
        module.in_channels, module.groups = (len(stay), len(stay)) if depthwise else (weight.shape[1], 1)
    else:
        module.out_features, module.in_features = len(stay), weight.shape[1]
    return stay, outputs


def _spread(kept: torch.Tensor, width: int, inputs: int) -> torch.Tensor:
    """Indices of the `inputs` values that come from the kept channels: several a channel where a map was flattened between."""
    each = inputs // width
    return (kept[:, None] * each + torch.arange(each)).flatten()


def _take_norm(norm: nn.BatchNorm1d | nn.BatchNorm2d, stay: torch.Tensor) -> None:
    norm.num_features = len(stay)
    for name in ("weight", "bias"):
        if getattr(norm, name) is not None:
            setattr(norm, name, nn.Parameter(getattr(norm, name).detach()[stay].clone()))
    for name in ("running_mean", "running_var"):
        if getattr(norm, name) is not None:
            setattr(norm, name, getattr(norm, name)[stay].clone())
