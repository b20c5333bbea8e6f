"""ResNet: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385.

Table 1's 152-layer column: bottlenecks of 1x1, 3x3 and 1x1 convolutions with batch normalisation and without biases,
shortcuts of type B (projection where the size changes). As the paper has it, the first 1x1 has the stride.
"""

import torch
from torch import Tensor, nn

from compression.zoo.entry import NetShape

BLOCKS_152 = (3, 8, 36, 3)
_EXPANSION = 4


class Bottleneck(nn.Module):
    """Figure 5, right: [N, channels, H, W] to [N, 4 width, H / stride, W / stride]."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        wide = _EXPANSION * width
        self.residual = nn.Sequential(
            *_conv(channels, width, 1, stride=stride),
            nn.ReLU(),
            *_conv(width, width, 3),
            nn.ReLU(),
            *_conv(width, wide, 1),
        )
        same = stride == 1 and channels == wide
        self.shortcut = nn.Identity() if same else nn.Sequential(*_conv(channels, wide, 1, stride=stride))

    def forward(self, x: Tensor) -> Tensor:
        """The sum of both paths, rectified."""
        return torch.relu(self.residual(x) + self.shortcut(x))


class ResNet(nn.Module):
    """Float32 [N, C, H, W] to logits [N, classes]."""

    def __init__(self, shape: NetShape, blocks: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = [*_conv(shape.channels, 64, 7, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)]
        channels = 64
        for stage, count in enumerate(blocks):
            width = 64 * 2**stage
            for index in range(count):
                layers.append(Bottleneck(channels, width, stride=2 if stage and not index else 1))
                channels = _EXPANSION * width
        self.features = nn.Sequential(*layers)
        self.logits = nn.Linear(channels, shape.classes)

    def forward(self, x: Tensor) -> Tensor:
        """Float32 [N, C, H, W] to float32 [N, classes]."""
        logits: Tensor = self.logits(self.features(x).mean(dim=(2, 3)))
        return logits


def _conv(channels: int, width: int, kernel: int, *, stride: int = 1) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    conv = nn.Conv2d(channels, width, kernel, stride=stride, padding=kernel // 2, bias=False)
    return conv, nn.BatchNorm2d(width)


def resnet152(shape: NetShape) -> nn.Module:
    """ResNet-152 for `shape`."""
    return ResNet(shape, BLOCKS_152)
