"""AlexNet: Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", NIPS 2012.

Section 3.5 with two GPUs' halves as groups of 2, section 3.3's local response normalisation (k = 2, n = 5, alpha = 1e-4,
beta = 0.75), section 3.4's overlapping pooling. The paper says inputs of 224, which its own 55x55 feature maps contradict;
227 without padding gives them.
"""

import torch
from torch import nn

from compression.zoo.entry import NetShape
from compression.zoo.nets.lrn import LocalResponseNorm
from compression.zoo.nets.sizes import size_after


class AlexNet(nn.Module):
    """Float32 [N, C, H, W] to logits [N, classes]."""

    def __init__(self, shape: NetShape) -> None:
        super().__init__()
        # The module divides alpha by the size; the paper's sum has alpha as it stands.
        norm = 5 * 1e-4
        self.features = nn.Sequential(
            nn.Conv2d(shape.channels, 96, 11, stride=4),
            nn.ReLU(),
            LocalResponseNorm(5, alpha=norm, beta=0.75, k=2.0),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(96, 256, 5, padding=2, groups=2),
            nn.ReLU(),
            LocalResponseNorm(5, alpha=norm, beta=0.75, k=2.0),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(256, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 384, 3, padding=1, groups=2),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1, groups=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
        )
        height, width = size_after(self.features, shape)
        self.classifier = nn.Sequential(
            nn.Linear(256 * height * width, 4096),
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


def alexnet(shape: NetShape) -> nn.Module:
    """AlexNet for `shape`."""
    return AlexNet(shape)
