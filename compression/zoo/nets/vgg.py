"""VGG: Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015, arXiv:1409.1556.

Table 1, column E: sixteen 3x3 convolutions in five stages and three dense layers.
"""

import torch
from torch import nn

from compression.zoo.entry import NetShape
from compression.zoo.nets.sizes import size_after

# Per stage: channels and how many convolutions.
STAGES_19 = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))


class Vgg(nn.Module):
    """Float32 [N, C, H, W] to logits [N, classes]."""

    def __init__(self, shape: NetShape, stages: tuple[tuple[int, int], ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = shape.channels
        for width, count in stages:
            for _ in range(count):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        height, width = size_after(self.features, shape)
        self.classifier = nn.Sequential(
            nn.Linear(channels * height * width, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, shape.classes),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float32 [N, C, H, W] to float32 [N, classes]."""
        logits: torch.Tensor = self.classifier(self.features(x).flatten(1))
        return logits


def vgg19(shape: NetShape) -> nn.Module:
    """VGG-19 for `shape`."""
    return Vgg(shape, STAGES_19)
