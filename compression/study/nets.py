"""Nets of small images whose size is a matter of a few numbers: what the families of `compression.study.families` build.

All take float32 [N, C, H, W] and give logits [N, classes]; they end in a 1x1 convolution and global average pooling, so that no dense layer
grows with the image. The map is halved between stages while its shorter side has at least `SMALLEST_TO_HALVE` pixels. Batch normalisation
stands after every convolution and is fused into it by the export.
"""

import torch
from torch import nn

from compression.squeezenet import ConvUnit, Fire, Metaparameters
from compression.zoo.entry import NetShape

SMALLEST_TO_HALVE = 6


class SeparableUnit(nn.Module):
    """A depthwise 3x3 and a pointwise convolution, each with normalisation and ReLU (MobileNets, arXiv:1704.04861, figure 3)."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels_in, channels_in, 3, padding=1, groups=channels_in, bias=False)
        self.norm = nn.BatchNorm2d(channels_in)
        self.pointwise = ConvUnit(channels_in, channels_out, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32 [N, in, H, W] to [N, out, H, W]."""
        unit: torch.Tensor = self.pointwise(torch.relu(self.norm(self.depthwise(x))))
        return unit


class SmallClassifier(nn.Module):
    """Stages with halving between them, dropout, a 1x1 convolution to the classes, global average pooling."""

    def __init__(self, stages: list[nn.Module], channels: int, shape: NetShape, dropout: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        side = min(shape.height, shape.width)
        for index, stage in enumerate(stages):
            if index and side >= SMALLEST_TO_HALVE:
                layers.append(nn.MaxPool2d(2))
                side //= 2
            layers.append(stage)
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Conv2d(channels, shape.classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32 [N, C, H, W] to float32 [N, classes]."""
        scores: torch.Tensor = self.classifier(self.dropout(self.features(x)))
        return scores.mean(dim=(2, 3))


def squeezenet(shape: NetShape, meta: Metaparameters, *, stem_channels: int, width: float, dropout: float) -> nn.Module:
    """A 3x3 stem and the fire modules that follow from the metaparameters; `freq` of them make a stage."""
    channels = _scaled(stem_channels, width)
    stages: list[nn.Module] = []
    modules: list[nn.Module] = [ConvUnit(shape.channels, channels, 3)]
    for index, (squeeze, expand1x1, expand3x3) in enumerate(meta.modules(width=width)):
        if index and index % meta.freq == 0:
            stages.append(nn.Sequential(*modules))
            modules = []
        modules.append(Fire(channels, squeeze, expand1x1, expand3x3))
        channels = expand1x1 + expand3x3
    return SmallClassifier([*stages, nn.Sequential(*modules)], channels, shape, dropout)


def mobilenet(
    shape: NetShape, *, layers: int, base_channels: int, per_stage: int, width: float, dropout: float
) -> nn.Module:
    """Depthwise separable units; the channels double with every stage of `per_stage` units, all times the width multiplier (section 3.3)."""
    channels = _scaled(base_channels, width)
    modules: list[nn.Module] = [ConvUnit(shape.channels, channels, 3)]
    stages: list[nn.Module] = []
    for index in range(layers):
        if index and index % per_stage == 0:
            stages.append(nn.Sequential(*modules))
            modules = []
        wider = _scaled(base_channels * 2 ** (index // per_stage), width)
        modules.append(SeparableUnit(channels, wider))
        channels = wider
    return SmallClassifier([*stages, nn.Sequential(*modules)], channels, shape, dropout)


def convnet(
    shape: NetShape, *, first: int, second: int, third: int, per_stage: int, kernel: int, dropout: float
) -> nn.Module:
    """Up to three stages of plain convolutions of so many channels each; a stage of 0 channels is left out."""
    stages: list[nn.Module] = []
    channels = shape.channels
    for wider in (first, second, third):
        if wider:
            units = [ConvUnit(channels if index == 0 else wider, wider, kernel) for index in range(per_stage)]
            stages.append(nn.Sequential(*units))
            channels = wider
    return SmallClassifier(stages, channels, shape, dropout)


def _scaled(channels: int, width: float) -> int:
    return max(1, round(channels * width))
