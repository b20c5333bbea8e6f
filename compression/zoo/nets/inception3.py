"""Inception-v3: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016, arXiv:1512.00567.

Table 1 with the modules of figures 5, 6 and 7 and the grid reductions of figure 10. The paper leaves the widths inside the
modules and, it seems, the stem open; these are those of the authors' TensorFlow model (`inception_v3.py` in tensorflow/models,
slim), where convolutions have no bias. The auxiliary classifier, which only training needs, is not built.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from compression.zoo.entry import NetShape

Size = int | tuple[int, int]


class Conv(nn.Sequential):
    """Convolution, batch normalisation, ReLU; the same size out as in, or without padding."""

    def __init__(self, channels: int, width: int, kernel: Size, *, stride: int = 1, same: bool = True) -> None:
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (sides[0] // 2, sides[1] // 2) if same else (0, 0)
        norm = nn.BatchNorm2d(width, eps=1e-3)
        super().__init__(nn.Conv2d(channels, width, sides, stride=stride, padding=padding, bias=False), norm, nn.ReLU())


class Branches(nn.Module):
    """Branches side by side, concatenated."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] to the branches' channels together."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class InceptionV3(nn.Module):
    """Float32 [N, C, H, W] with sides of at least 75 to logits [N, classes].

    Raises:
        ValueError: the input is smaller.
    """

    def __init__(self, shape: NetShape) -> None:
        super().__init__()
        if min(shape.height, shape.width) < 75:
            raise ValueError(f"an input of {shape.height} x {shape.width} is too small for this net: at least 75 x 75")
        self.features = nn.Sequential(
            Conv(shape.channels, 32, 3, stride=2, same=False),
            Conv(32, 32, 3, same=False),
            Conv(32, 64, 3),
            nn.MaxPool2d(3, 2),
            Conv(64, 80, 1, same=False),
            Conv(80, 192, 3, same=False),
            nn.MaxPool2d(3, 2),
            *_modules(),
        )
        self.dropout = nn.Dropout()
        self.logits = nn.Linear(2048, shape.classes)

    def forward(self, x: Tensor) -> Tensor:
        """Float32 [N, C, H, W] to float32 [N, classes]."""
        logits: Tensor = self.logits(self.dropout(self.features(x).mean(dim=(2, 3))))
        return logits


def _modules() -> Iterator[nn.Module]:
    """The eleven inception modules, 192 channels in and 2048 out."""
    for channels, pool in ((192, 32), (256, 64), (288, 64)):
        yield _figure5(channels, pool)
    yield Branches(
        Conv(288, 384, 3, stride=2, same=False),
        nn.Sequential(Conv(288, 64, 1), Conv(64, 96, 3), Conv(96, 96, 3, stride=2, same=False)),
        nn.MaxPool2d(3, 2),
    )
    for width in (128, 160, 160, 192):
        yield _figure6(768, width)
    yield Branches(
        nn.Sequential(Conv(768, 192, 1), Conv(192, 320, 3, stride=2, same=False)),
        nn.Sequential(
            Conv(768, 192, 1),
            Conv(192, 192, (1, 7)),
            Conv(192, 192, (7, 1)),
            Conv(192, 192, 3, stride=2, same=False),
        ),
        nn.MaxPool2d(3, 2),
    )
    for channels in (1280, 2048):
        yield _figure7(channels)


def _figure5(channels: int, pool: int) -> Branches:
    """35 x 35: each 5x5 as two 3x3, but for the first branch, which the authors' model leaves a 5x5."""
    return Branches(
        Conv(channels, 64, 1),
        nn.Sequential(Conv(channels, 48, 1), Conv(48, 64, 5)),
        nn.Sequential(Conv(channels, 64, 1), Conv(64, 96, 3), Conv(96, 96, 3)),
        nn.Sequential(_pool(), Conv(channels, pool, 1)),
    )


def _figure6(channels: int, width: int) -> Branches:
    """17 x 17: 7x7 as 1x7 and 7x1."""
    return Branches(
        Conv(channels, 192, 1),
        nn.Sequential(Conv(channels, width, 1), Conv(width, width, (1, 7)), Conv(width, 192, (7, 1))),
        nn.Sequential(
            Conv(channels, width, 1),
            Conv(width, width, (7, 1)),
            Conv(width, width, (1, 7)),
            Conv(width, width, (7, 1)),
            Conv(width, 192, (1, 7)),
        ),
        nn.Sequential(_pool(), Conv(channels, 192, 1)),
    )


def _figure7(channels: int) -> Branches:
    """8 x 8: filter banks expanded by 1x3 beside 3x1."""
    return Branches(
        Conv(channels, 320, 1),
        nn.Sequential(Conv(channels, 384, 1), _wide()),
        nn.Sequential(Conv(channels, 448, 1), Conv(448, 384, 3), _wide()),
        nn.Sequential(_pool(), Conv(channels, 192, 1)),
    )


def _wide() -> Branches:
    return Branches(Conv(384, 384, (1, 3)), Conv(384, 384, (3, 1)))


def _pool() -> nn.AvgPool2d:
    return nn.AvgPool2d(3, 1, padding=1, count_include_pad=False)


def inception_v3(shape: NetShape) -> nn.Module:
    """Inception-v3 for `shape`."""
    return InceptionV3(shape)
