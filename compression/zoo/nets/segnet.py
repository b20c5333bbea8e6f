"""SegNet: Badrinarayanan, Kendall, Cipolla, "SegNet: A Deep Convolutional Encoder-Decoder Architecture", arXiv:1511.00561.

The thirteen convolutions of VGG-16, mirrored by thirteen of a decoder that unpools to where the maxima of the encoder were.
"""

from itertools import pairwise
from typing import cast

import torch
from torch import nn

from compression.onnx_operators import Places, max_pool_with_places, max_unpool
from compression.zoo.entry import NetShape

# Channels of the encoder's convolutions, by stage; a pooling follows each.
STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class SegNet(nn.Module):
    """Float32 [N, C, H, W] to scores of each pixel, float32 [N, classes, H, W]; `width` times the channels."""

    def __init__(self, shape: NetShape, *, width: float) -> None:
        super().__init__()
        widths = [[max(1, round(full * width)) for full in stage] for stage in STAGES]
        self.encoder = nn.ModuleList()
        channels = shape.channels
        for stage in widths:
            self.encoder.append(nn.Sequential(*_layers([channels, *stage])))
            channels = stage[-1]
        self.decoder = nn.ModuleList()
        for depth in reversed(range(len(widths))):
            steps = [*widths[depth], widths[depth - 1][-1] if depth else shape.classes]
            self.decoder.append(nn.Sequential(*_layers(steps, open_end=not depth)))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                # Section 3.1. With torch's own, twenty-six layers leave nothing but near ties for the poolings to choose from.
                # (Uniform, because torch loads its compiler to draw normal numbers for a net on the meta device.)
                nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
                nn.init.zeros_(cast(torch.Tensor, module.bias))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores, not yet a softmax."""
        places: list[Places] = []
        for stage in self.encoder:
            x, where = max_pool_with_places(stage(x))
            places.append(where)
        for stage in self.decoder:
            x = stage(max_unpool(x, places.pop()))
        return x


def segnet(shape: NetShape, *, width: float = 1.0) -> nn.Module:
    """SegNet for `shape`."""
    return SegNet(shape, width=width)


def _layers(widths: list[int], *, open_end: bool = False) -> list[nn.Module]:
    """Convolutions from each of `widths` to the next, each with its normalisation and ReLU, the last without where the end is open."""
    layers: list[nn.Module] = []
    for channels, wide in pairwise(widths):
        layers += [nn.Conv2d(channels, wide, 3, padding=1), nn.BatchNorm2d(wide), nn.ReLU()]
    return layers[:-2] if open_end else layers
