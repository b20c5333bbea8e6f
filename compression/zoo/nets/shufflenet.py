"""ShuffleNet v1: Zhang, Zhou, Lin, Sun, "ShuffleNet: An Extremely Efficient CNN for Mobile Devices", arXiv:1707.01083, table 1."""

import torch
from torch import nn

from compression.onnx_operators import ChannelShuffle
from compression.zoo.entry import NetShape
from compression.zoo.nets.blocks import normed

# Output channels of stage 2, by groups; they double with each stage.
STAGE2 = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}
UNITS = (4, 8, 4)


class ShuffleUnit(nn.Module):
    """Figure 2b, or 2c where it halves: 1x1 group convolution, shuffle, 3x3 depthwise, 1x1 group convolution, beside a shortcut."""

    def __init__(self, channels: int, width: int, *, groups: int, first_groups: int, halves: bool) -> None:
        super().__init__()
        # Where it halves, the pooled input makes up the rest of the channels.
        made = width - channels if halves else width
        middle = width // 4
        self.residual = nn.Sequential(
            *normed(channels, middle, 1, groups=first_groups),
            nn.ReLU(),
            ChannelShuffle(first_groups) if first_groups > 1 else nn.Identity(),
            *normed(middle, middle, 3, stride=2 if halves else 1, groups=middle),
            *normed(middle, made, 1, groups=groups),
        )
        self.pool = nn.AvgPool2d(3, 2, padding=1) if halves else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32 [N, channels, H, W] to [N, width, H', W']."""
        residual = self.residual(x)
        joined = x + residual if self.pool is None else torch.cat([self.pool(x), residual], dim=1)
        return torch.relu(joined)


def shufflenet(shape: NetShape, *, groups: int = 3, width: float = 1.0) -> nn.Module:
    """ShuffleNet for `shape`: float32 [N, C, H, W] to logits [N, classes]; `width` is the s of "ShuffleNet s x".

    The stem has 24 channels times the whole part of a width above 1, as in the authors' code. The first 1x1 convolution of stage 2 has no
    groups, because its input is narrow (section 3.2).

    Raises:
        ValueError: the paper has no net with so many groups, or the width leaves channels that the groups do not divide.
    """
    if groups not in STAGE2:
        raise ValueError(f"ShuffleNet has {', '.join(map(str, STAGE2))} groups, not {groups}")
    wide = round(STAGE2[groups] * width)
    channels = round(24 * (width if width < 1 else int(width)))
    if wide % (4 * groups) or (wide - channels) % groups:
        raise ValueError(f"width {width} gives stages of {wide} channels, which {groups} groups do not divide")
    layers = [*normed(shape.channels, channels, 3, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)]
    for stage, units in enumerate(UNITS):
        for unit in range(units):
            first = 1 if stage == 0 and unit == 0 else groups
            layers.append(ShuffleUnit(channels, wide, groups=groups, first_groups=first, halves=unit == 0))
            channels = wide
        wide *= 2
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, shape.classes))
