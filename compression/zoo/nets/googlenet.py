"""GoogLeNet: Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, arXiv:1409.4842.

Table 1 with biases and without batch normalisation, local response normalisation as in figure 3, and section 5's two
auxiliary classifiers behind inception 4a and 4d, which are thrown away for inference.
"""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from compression.zoo.entry import NetShape
from compression.zoo.nets.lrn import LocalResponseNorm

_halved = partial(nn.MaxPool2d, 3, 2, ceil_mode=True)


@dataclass(frozen=True, slots=True)
class Widths:
    """Output channels of an inception module's parts, as table 1 names its columns."""

    one: int
    reduce3: int
    three: int
    reduce5: int
    five: int
    pool: int

    @property
    def total(self) -> int:
        """Channels of the concatenation."""
        return self.one + self.three + self.five + self.pool


WIDTHS = {
    "3a": Widths(64, 96, 128, 16, 32, 32),
    "3b": Widths(128, 128, 192, 32, 96, 64),
    "4a": Widths(192, 96, 208, 16, 48, 64),
    "4b": Widths(160, 112, 224, 24, 64, 64),
    "4c": Widths(128, 128, 256, 24, 64, 64),
    "4d": Widths(112, 144, 288, 32, 64, 64),
    "4e": Widths(256, 160, 320, 32, 128, 128),
    "5a": Widths(256, 160, 320, 32, 128, 128),
    "5b": Widths(384, 192, 384, 48, 128, 128),
}


class Inception(nn.Module):
    """Figure 2b: 1x1, 3x3 and 5x5 convolutions, the latter two behind 1x1 reductions, and a projected pooling, side by side."""

    def __init__(self, channels: int, widths: Widths) -> None:
        super().__init__()
        self.one = _conv(channels, widths.one, 1)
        self.three = nn.Sequential(
            _conv(channels, widths.reduce3, 1), _conv(widths.reduce3, widths.three, 3, padding=1)
        )
        self.five = nn.Sequential(_conv(channels, widths.reduce5, 1), _conv(widths.reduce5, widths.five, 5, padding=2))
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, padding=1), _conv(channels, widths.pool, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[N, channels, H, W] to [N, widths.total, H, W]."""
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pool(x)], dim=1)


class Auxiliary(nn.Module):
    """Section 5: average pooling 5x5/3, a 1x1 convolution with 128 filters, a dense layer of 1024, 70 % dropout, the logits."""

    def __init__(self, channels: int, shape: NetShape) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(5, 3)
        self.conv = _conv(channels, 128, 1)
        self.dense = nn.Linear(128 * _pooled(shape.height) * _pooled(shape.width), 1024)
        self.dropout = nn.Dropout(0.7)
        self.logits = nn.Linear(1024, shape.classes)

    def forward(self, x: Tensor) -> Tensor:
        """[N, channels, H, W] to [N, classes]."""
        hidden = torch.relu(self.dense(self.conv(self.pool(x)).flatten(1)))
        logits: Tensor = self.logits(self.dropout(hidden))
        return logits


class GoogLeNet(nn.Module):
    """Float32 [N, C, H, W] to logits [N, classes], and to those of both auxiliary classifiers where they are wanted.

    Raises:
        ValueError: auxiliary classifiers are wanted, and the input is too small for them.
    """

    def __init__(self, shape: NetShape, *, auxiliary: bool) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            _conv(shape.channels, 64, 7, stride=2, padding=3),
            _halved(),
            LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0),
            _conv(64, 64, 1),
            _conv(64, 192, 3, padding=1),
            LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0),
            _halved(),
        )
        channels = 192
        for name, widths in WIDTHS.items():
            self.add_module(f"inception{name}", Inception(channels, widths))
            channels = widths.total
        self.halve = _halved()
        self.dropout = nn.Dropout(0.4)
        self.logits = nn.Linear(channels, shape.classes)
        self.auxiliary = nn.ModuleDict()
        if auxiliary:
            for name in ("4a", "4d"):
                self.auxiliary[name] = Auxiliary(WIDTHS[name].total, shape)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Float32 [N, C, H, W] to float32 [N, classes], once or thrice."""
        x = self.stem(x)
        side_answers = []
        for name in WIDTHS:
            x = self.get_submodule(f"inception{name}")(x)
            if name in self.auxiliary:
                side_answers.append(self.auxiliary[name](x))
            if name in {"3b", "4e"}:
                x = self.halve(x)
        logits: Tensor = self.logits(self.dropout(x.mean(dim=(2, 3))))
        return (logits, *side_answers) if side_answers else logits


def _pooled(length: int) -> int:
    """Of an input's side, what is left behind an auxiliary classifier's pooling: 4 of 224."""
    side = -(-length // 2)
    for _ in range(3):
        side = -(-(side - 3) // 2) + 1
    if side < 5:
        raise ValueError(f"an input with a side of {length} is too small for the auxiliary classifiers")
    return (side - 5) // 3 + 1


def _conv(channels: int, width: int, kernel: int, *, stride: int = 1, padding: int = 0) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, width, kernel, stride=stride, padding=padding), nn.ReLU())


def googlenet(shape: NetShape, *, auxiliary: bool = False) -> nn.Module:
    """GoogLeNet for `shape`, for inference or, with `auxiliary`, as it is trained."""
    return GoogLeNet(shape, auxiliary=auxiliary)
