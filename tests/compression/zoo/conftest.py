"""A net that is built and run in no time, as a row of the zoo."""

import pytest
import torch
from torch import Tensor, nn

from compression.zoo import NetShape, Paper, ZooEntry


class Small(nn.Module):
    """Two equal convolutions and two equal normalisations, one of which follows no convolution; a scalar parameter."""

    def __init__(self, shape: NetShape) -> None:
        super().__init__()
        self.first = nn.Conv2d(shape.channels, shape.channels, 3, padding=1)
        self.second = nn.Conv2d(shape.channels, shape.channels, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(shape.channels) for _ in range(2))
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.logits = nn.Linear(shape.channels, shape.classes)

    def forward(self, x: Tensor) -> Tensor:
        """Float [N, C, H, W] to [N, classes]."""
        x = self.norms[0](torch.relu(self.first(x)))
        x = self.norms[1](torch.relu(self.second(x))) * self.scale
        logits: Tensor = self.logits(x.mean(dim=(2, 3)))
        return logits


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def small() -> ZooEntry:
    """3 x 8 x 8, 5 classes: 84 + 84 + 2 * 12 + 1 + 20 = 213 weights, 852 bytes."""
    return ZooEntry(
        name="small",
        title="Small",
        build=Small,
        paper=Paper("Nobody", "section 1", "1 kB", 1000),
        shape=NetShape(height=8, width=8, classes=5),
        smallest=NetShape(height=8, width=8, classes=5),
        explanation="{param_count:,} weights, {param_bytes} bytes, {ratio:.3f} of 1 kB",
    )
