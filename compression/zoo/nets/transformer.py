"""The image transformation net: Johnson, Alahi, Fei-Fei, "Perceptual Losses for Real-Time Style Transfer", arXiv:1603.08155.

Table 1 of the supplement. Instance normalisation (Ulyanov et al. 2016, arXiv:1607.08022) stands for the paper's batch normalisation, and
nearest-neighbour upsampling before a convolution for a transposed one, which leaves no checkerboard; both have as many weights.
"""

import torch
from torch import nn

from compression.onnx_operators import InstanceNorm, ReflectionPad
from compression.zoo.entry import NetShape

RESIDUAL_BLOCKS = 5


class Residual(nn.Module):
    """Two 3x3 convolutions and a sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(*_unit(channels, channels, 3), nn.ReLU(), *_unit(channels, channels, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32 [N, C, H, W] to the same shape."""
        joined: torch.Tensor = x + self.branch(x)
        return joined


def transformer(shape: NetShape, *, width: float = 1.0) -> nn.Module:
    """Float32 [N, C, H, W] in 0..1, H and W multiples of 4, to the same shape and range: the image in the style it was trained for.

    `shape.classes` means nothing here.

    Raises:
        ValueError: a side is no multiple of 4, or too short to be padded by reflection.
    """
    if shape.height % 4 or shape.width % 4 or min(shape.height, shape.width) < 8:
        raise ValueError(f"style transfer takes images with sides of at least 8 that are multiples of 4, not {shape}")
    narrow, middle, wide = (max(1, round(full * width)) for full in (32, 64, 128))
    return nn.Sequential(
        *_unit(shape.channels, narrow, 9),
        nn.ReLU(),
        *_unit(narrow, middle, 3, stride=2),
        nn.ReLU(),
        *_unit(middle, wide, 3, stride=2),
        nn.ReLU(),
        *(Residual(wide) for _ in range(RESIDUAL_BLOCKS)),
        nn.Upsample(scale_factor=2),
        *_unit(wide, middle, 3),
        nn.ReLU(),
        nn.Upsample(scale_factor=2),
        *_unit(middle, narrow, 3),
        nn.ReLU(),
        *_unit(narrow, shape.channels, 9)[:-1],
        nn.Sigmoid(),
    )


def _unit(channels: int, width: int, kernel: int, *, stride: int = 1) -> list[nn.Module]:
    return [ReflectionPad(kernel // 2), nn.Conv2d(channels, width, kernel, stride=stride), InstanceNorm(width)]
