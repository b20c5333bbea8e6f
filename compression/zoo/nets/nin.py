"""Network in Network: Lin, Chen, Yan, ICLR 2014, arXiv:1312.4400.

Section 3: a convolution followed by two 1x1 convolutions ("mlpconv"), and global average pooling in place of dense layers.
The paper gives no ImageNet net; this is the one its authors published in Caffe's model zoo (`NIN_ImageNet`).
"""

import torch
from torch import nn

from compression.zoo.entry import NetShape


class NetworkInNetwork(nn.Module):
    """Float32 [N, C, H, W] to logits [N, classes]."""

    def __init__(self, shape: NetShape) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_mlpconv(shape.channels, (96, 96, 96), kernel=11, stride=4),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            *_mlpconv(96, (256, 256, 256), kernel=5, padding=2),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            *_mlpconv(256, (384, 384, 384), kernel=3, padding=1),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.Dropout(),
            *_mlpconv(384, (1024, 1024, shape.classes), kernel=3, padding=1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float32 [N, C, H, W] to float32 [N, classes]."""
        maps: torch.Tensor = self.features(x)
        return maps.mean(dim=(2, 3))


def _mlpconv(
    channels: int, widths: tuple[int, int, int], *, kernel: int, stride: int = 1, padding: int = 0
) -> list[nn.Module]:
    first, second, third = widths
    return [
        nn.Conv2d(channels, first, kernel, stride=stride, padding=padding),
        nn.ReLU(),
        nn.Conv2d(first, second, 1),
        nn.ReLU(),
        nn.Conv2d(second, third, 1),
        nn.ReLU(),
    ]


def network_in_network(shape: NetShape) -> nn.Module:
    """The ImageNet net for `shape`."""
    return NetworkInNetwork(shape)
