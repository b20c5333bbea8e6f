"""Smaller filters (Iandola & Keutzer 2017, section 5.3)."""

import torch
from torch import nn

from compression.errors import ModelUnusable
from compression.playbook.rewriting import Choice, every, keeps_size, like, pair, rewrite

MOVE = "kernel reduction"


class MixedKernels(nn.Module):
    """A convolution whose first filters are 1x1 and whose others are k x k, as a fire module's expand layer is."""

    def __init__(self, pointwise: nn.Conv2d, spatial: nn.Conv2d) -> None:
        super().__init__()
        self.pointwise = pointwise
        self.spatial = spatial

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32 [N, in, H, W] to [N, out, H', W'] with the channels of both in that order."""
        return torch.cat([self.pointwise(x), self.spatial(x)], dim=1)


def reduce_kernels(net: nn.Module, p: float, *, only: Choice = every) -> nn.Module:
    """Keep the share `p` of every layer's k x k filters; the others become 1x1, starting as their centre tap.

    Section 5.3; `p` is the metaparameter that SqueezeNet calls pct_3x3 (Iandola et al. 2016, section 5.2, where accuracy
    stopped growing at one half). A layer with I inputs and O outputs on H' x W' places had I·O·k² weights and I·O·k²·H'·W'
    MACs; with O3 = round(p·O) filters kept it has I·(O3·k² + (O - O3)) weights and as many MACs for each place: at p = 1/2 and
    k = 3, 5/9 of both. To be trained again unless `p` is 1.

    Args:
        net: any module; convolutions larger than 1x1 and without groups are changed.
        p: 0 to 1.
        only: which of them, by name and layer.

    Raises:
        ValueError: `p` is no share.
        ModelUnusable: no layer can be changed, or one is not padded so that its 1x1 filters would give maps of the same size.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"p is the share of filters that stay, from 0 to 1, not {p}")

    def rule(name: str, module: nn.Module) -> nn.Module | None:
        if not isinstance(module, nn.Conv2d) or module.kernel_size == (1, 1) or module.groups > 1:
            return None
        if not only(name, module):
            return None
        if not keeps_size(module):
            raise ModelUnusable(
                f"{MOVE}: layer {name} has kernel {module.kernel_size} and padding {module.padding}; "
                "its 1x1 filters would give maps of another size"
            )
        return _mixed(module, round(p * module.out_channels))

    return rewrite(net, rule, move=MOVE)


def _mixed(conv: nn.Conv2d, stay: int) -> nn.Module:
    shrunk = conv.out_channels - stay
    if not shrunk:
        return conv
    pointwise = like(conv, conv.in_channels, shrunk, 1)
    spatial = nn.Conv2d(
        conv.in_channels,
        max(stay, 1),
        pair(conv.kernel_size),
        stride=pair(conv.stride),
        padding=conv.padding if isinstance(conv.padding, str) else pair(conv.padding),
        dilation=pair(conv.dilation),
        bias=conv.bias is not None,
    )
    row, column = (size // 2 for size in pair(conv.kernel_size))
    with torch.no_grad():
        pointwise.weight.copy_(conv.weight[:shrunk, :, row : row + 1, column : column + 1])
        if conv.bias is not None and pointwise.bias is not None:
            pointwise.bias.copy_(conv.bias[:shrunk])
        if not stay:
            return pointwise
        spatial.weight.copy_(conv.weight[shrunk:])
        if conv.bias is not None and spatial.bias is not None:
            spatial.bias.copy_(conv.bias[shrunk:])
    return MixedKernels(pointwise, spatial)
