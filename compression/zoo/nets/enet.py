"""ENet: Paszke, Chaurasia, Kim, Culurciello, "ENet: A Deep Neural Network Architecture for Real-Time Semantic Segmentation", arXiv:1606.02147.

Table 1 and figure 2. No convolution before a normalisation has a bias.
"""

import torch
from torch import nn

from compression.onnx_operators import Places, PReLU, max_pool_with_places, max_unpool, with_empty_channels
from compression.zoo.entry import NetShape
from compression.zoo.nets.blocks import normed

# Bottlenecks 2.1 to 2.8, which are 3.1 to 3.8 as well: (kind, dilation).
MIDDLE = (
    ("regular", 1),
    ("dilated", 2),
    ("asymmetric", 1),
    ("dilated", 4),
    ("regular", 1),
    ("dilated", 8),
    ("asymmetric", 1),
    ("dilated", 16),
)


class Bottleneck(nn.Module):
    """Figure 2b at one size: 1x1 to a quarter of the channels, a 3x3 convolution of some kind or 5x1 and 1x5, 1x1 back, and a sum."""

    def __init__(self, channels: int, kind: str, dilation: int, *, drop: float, decoder: bool = False) -> None:
        super().__init__()
        inner = channels // 4
        if kind == "asymmetric":
            between = [*normed(inner, inner, (5, 1))[:1], *normed(inner, inner, (1, 5))]
        else:
            between = normed(inner, inner, 3, dilation=dilation)
        self.branch = nn.Sequential(
            *normed(channels, inner, 1),
            _active(inner, decoder=decoder),
            *between,
            _active(inner, decoder=decoder),
            *normed(inner, channels, 1),
            nn.Dropout2d(drop),
        )
        self.active = _active(channels, decoder=decoder)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32 [N, channels, H, W] to the same shape."""
        joined: torch.Tensor = self.active(x + self.branch(x))
        return joined


class Downsampling(nn.Module):
    """The bottleneck that halves: a 2x2 projection with stride 2 beside a pooling whose missing channels are zeros."""

    def __init__(self, channels: int, wide: int, *, drop: float) -> None:
        super().__init__()
        inner = wide // 4
        self.missing = wide - channels
        self.branch = nn.Sequential(
            nn.Conv2d(channels, inner, 2, stride=2, bias=False),
            nn.BatchNorm2d(inner),
            PReLU(inner),
            *normed(inner, inner, 3),
            PReLU(inner),
            *normed(inner, wide, 1),
            nn.Dropout2d(drop),
        )
        self.active = PReLU(wide)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, Places]:
        """float32 [N, channels, H, W] to [N, wide, H / 2, W / 2] and where the maxima were."""
        pooled, places = max_pool_with_places(x)
        return self.active(with_empty_channels(pooled, self.missing) + self.branch(x)), places


class Upsampling(nn.Module):
    """The bottleneck that doubles: a 3x3 transposed convolution beside a 1x1 convolution that is unpooled."""

    def __init__(self, channels: int, wide: int) -> None:
        super().__init__()
        inner = wide // 4
        self.main = nn.Sequential(*normed(channels, wide, 1))
        self.branch = nn.Sequential(
            *normed(channels, inner, 1),
            nn.ReLU(),
            nn.ConvTranspose2d(inner, inner, 3, stride=2, padding=1, output_padding=1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            *normed(inner, wide, 1),
        )

    def forward(self, x: torch.Tensor, places: Places) -> torch.Tensor:
        """float32 [N, channels, H, W] to [N, wide, 2 H, 2 W]."""
        return torch.relu(max_unpool(self.main(x), places) + self.branch(x))


class ENet(nn.Module):
    """Float32 [N, C, H, W], H and W multiples of 8, to scores of each pixel, float32 [N, classes, H, W]."""

    def __init__(self, shape: NetShape) -> None:
        super().__init__()
        self.initial = nn.Conv2d(shape.channels, 16 - shape.channels, 3, stride=2, padding=1, bias=False)
        self.pool = nn.MaxPool2d(2)
        self.started = nn.Sequential(nn.BatchNorm2d(16), PReLU(16))
        self.down1 = Downsampling(16, 64, drop=0.01)
        self.stage1 = nn.Sequential(*(Bottleneck(64, "regular", 1, drop=0.01) for _ in range(4)))
        self.down2 = Downsampling(64, 128, drop=0.1)
        self.stage2 = nn.Sequential(*(Bottleneck(128, kind, dilation, drop=0.1) for kind, dilation in MIDDLE * 2))
        self.up4 = Upsampling(128, 64)
        self.stage4 = nn.Sequential(*(Bottleneck(64, "regular", 1, drop=0.1, decoder=True) for _ in range(2)))
        self.up5 = Upsampling(64, 16)
        self.stage5 = Bottleneck(16, "regular", 1, drop=0.1, decoder=True)
        self.full = nn.ConvTranspose2d(16, shape.classes, 2, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores, not yet a softmax."""
        x = self.started(torch.cat([self.initial(x), self.pool(x)], dim=1))
        x, first = self.down1(x)
        x, second = self.down2(self.stage1(x))
        x = self.stage4(self.up4(self.stage2(x), second))
        scores: torch.Tensor = self.full(self.stage5(self.up5(x, first)))
        return scores


def enet(shape: NetShape) -> nn.Module:
    """ENet for `shape`.

    Raises:
        ValueError: a side is no multiple of 8, or there are more channels than the first block makes.
    """
    if shape.height % 8 or shape.width % 8 or shape.channels > 15:
        raise ValueError(f"ENet takes up to 15 channels and sides that are multiples of 8, not {shape}")
    return ENet(shape)


def _active(channels: int, *, decoder: bool) -> nn.Module:
    """PReLU in the encoder, ReLU in the decoder (section 4)."""
    return nn.ReLU() if decoder else PReLU(channels)
