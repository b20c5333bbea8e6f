"""Nets for handwritten Chinese characters, 3,755 classes.

`direct_map` is the net before: Zhang, Bengio, Liu, "Online and Offline Handwritten Chinese Character Recognition: A Comprehensive Study and
New Benchmark", arXiv:1606.05763. `nine_layers` is Xiao et al., "Building Fast and Compact Convolutional Neural Networks for Offline
Handwritten Chinese Character Recognition", arXiv:1702.07975: the baseline, and with `speedup` its low-rank expansion (GSLRE).
"""

from torch import nn

from compression.onnx_operators import PReLU
from compression.zoo.entry import NetShape
from compression.zoo.nets.sizes import size_after

DIRECT_MAP = ((50, 100), (150, 200), (250, 300), (350, 400))
"""Channels of the 3x3 convolutions before each pooling of 2x2."""
NINE = ((96,), (128,), (160,), (256, 256), (384, 384))
"""Channels of the 3x3 convolutions before each pooling of 3x3."""


def direct_map(shape: NetShape) -> nn.Module:
    """Eight convolutions and three fully connected layers on direction maps, float32 [N, 8, 32, 32] in the paper, to logits."""
    layers: list[nn.Module] = []
    channels = shape.channels
    for widths in DIRECT_MAP:
        for wide in widths:
            layers += [nn.Conv2d(channels, wide, 3, padding=1), nn.LeakyReLU(1 / 3)]
            channels = wide
        layers.append(nn.MaxPool2d(2))
    return _ended(layers, channels, shape, (900, 200), nn.LeakyReLU(1 / 3))


def nine_layers(shape: NetShape, *, speedup: float = 1.0) -> nn.Module:
    """Seven convolutions and two fully connected layers on a grey image, float32 [N, 1, 96, 96] in the paper, to logits.

    With a `speedup` above 1 every 3x3 convolution but the first is a 3x1 and a 1x3 one with so few channels between them that it has
    that many times fewer weights and MACs (Xiao et al., section 3.2).
    """
    layers: list[nn.Module] = []
    channels = shape.channels
    for widths in NINE:
        for wide in widths:
            layers += _expanded(channels, wide, speedup if channels != shape.channels else 1.0)
            layers += [nn.BatchNorm2d(wide), PReLU(wide)]
            channels = wide
        layers.append(nn.MaxPool2d(3, 2, padding=1))
    return _ended(layers, channels, shape, (1024,), nn.PReLU(1024))


def _expanded(channels: int, wide: int, speedup: float) -> list[nn.Module]:
    if speedup <= 1:
        return [nn.Conv2d(channels, wide, 3, padding=1)]
    between = max(1, round(9 * channels * wide / (3 * (channels + wide) * speedup)))
    return [
        nn.Conv2d(channels, between, (3, 1), padding=(1, 0), bias=False),
        nn.Conv2d(between, wide, (1, 3), padding=(0, 1)),
    ]


def _ended(
    layers: list[nn.Module], channels: int, shape: NetShape, hidden: tuple[int, ...], activation: nn.Module
) -> nn.Module:
    features = nn.Sequential(*layers)
    height, width = size_after(features, shape)
    inputs = channels * height * width
    end: list[nn.Module] = [nn.Flatten()]
    for units in hidden:
        end += [nn.Linear(inputs, units), activation, nn.Dropout(0.5)]
        inputs = units
    return nn.Sequential(features, *end, nn.Linear(inputs, shape.classes))
