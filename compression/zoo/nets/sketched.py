"""Nets of which the overview gives a name, a size and a principle; the layers are ours, by the rules of its section 5."""

import torch
from torch import nn

from compression.playbook.kernels import MixedKernels
from compression.zoo.entry import NetShape
from compression.zoo.nets.blocks import normed

TINY_WIDTHS = (32, 64, 128, 192, 256)
"""Channels of TinyNet's stages, each at half the size of the one before: all that its size depends on."""
COMPACT_WIDTHS = (128, 256, 512, 608)
COMPACT_GROUPS = 4


def tinynet(shape: NetShape, *, width: float = 1.0) -> nn.Module:
    """Three layers a stage, half of their filters 1x1, evenly spaced halvings, no fully connected layer: [N, C, H, W] to [N, classes].

    Sections 5.2, 5.3 and 5.5 of the overview.
    """
    widths = [max(2, round(full * width)) for full in TINY_WIDTHS]
    channels = widths[0]
    layers = [*normed(shape.channels, channels, 3, stride=2), nn.ReLU()]
    for stage, wide in enumerate(widths):
        if stage:
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        for _ in range(3):
            half = wide // 2
            mixed = MixedKernels(
                nn.Conv2d(channels, wide - half, 1, bias=False), nn.Conv2d(channels, half, 3, padding=1, bias=False)
            )
            layers += [mixed, nn.BatchNorm2d(wide), nn.ReLU()]
            channels = wide
    return nn.Sequential(
        *layers, nn.Dropout(0.5), nn.Conv2d(channels, shape.classes, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


class DilatedGroups(nn.Module):
    """A 1x1 squeeze, three group convolutions of 3x3 with dilations of 1, 2 and 3 side by side, and a 1x1 convolution of all they see."""

    def __init__(self, channels: int, width: int, *, groups: int) -> None:
        super().__init__()
        middle = width // 4 // groups * groups
        self.squeeze = nn.Sequential(*normed(channels, middle, 1), nn.ReLU())
        self.views = nn.ModuleList(
            nn.Sequential(*normed(middle, middle, 3, groups=groups, dilation=dilation), nn.ReLU())
            for dilation in (1, 2, 3)
        )
        self.expand = nn.Sequential(*normed(3 * middle, width, 1))
        self.shortcut = nn.Sequential(*normed(channels, width, 1)) if channels != width else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32 [N, channels, H, W] to [N, width, H, W]."""
        squeezed = self.squeeze(x)
        seen = torch.cat([view(squeezed) for view in self.views], dim=1)
        return torch.relu(self.shortcut(x) + self.expand(seen))


def compact_dnn(shape: NetShape, *, width: float = 1.0, groups: int = COMPACT_GROUPS) -> nn.Module:
    """Four stages of `DilatedGroups` between poolings, a global average, the logits: float32 [N, C, H, W] to [N, classes].

    Wu et al. 2017 describe a module with several kinds of filters side by side (Conv-M) in the place of a plain convolution, kept
    small; the overview has it under group convolutions (section 5.6).
    """
    widths = [max(1, round(full * width / (4 * groups))) * 4 * groups for full in COMPACT_WIDTHS]
    layers = [*normed(shape.channels, 64, 7, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)]
    channels = 64
    for stage, wide in enumerate(widths):
        if stage:
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        for _ in range(3):
            layers.append(DilatedGroups(channels, wide, groups=groups))
            channels = wide
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.4), nn.Linear(channels, shape.classes)
    )
