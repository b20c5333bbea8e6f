"""MobileNet: Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications", arXiv:1704.04861.

Table 1; the stride 2 that it gives its last depthwise layer is 1, or the maps of 7x7 behind it would be smaller.
"""

from torch import nn

from compression.zoo.entry import NetShape
from compression.zoo.nets.blocks import normed

# Output channels and stride of each depthwise separable layer.
LAYERS = (
    ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2))
    + ((512, 1),) * 5
    + ((1024, 2), (1024, 1))
)  # fmt: skip


def mobilenet(shape: NetShape, *, width: float = 1.0) -> nn.Module:
    """MobileNet for `shape`: float32 [N, C, H, W] to logits [N, classes]; `width` is the paper's multiplier alpha of section 3.3."""
    channels = max(1, round(32 * width))
    layers = [*normed(shape.channels, channels, 3, stride=2), nn.ReLU()]
    for full, stride in LAYERS:
        wide = max(1, round(full * width))
        layers += [*normed(channels, channels, 3, stride=stride, groups=channels), nn.ReLU()]
        layers += [*normed(channels, wide, 1), nn.ReLU()]
        channels = wide
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, shape.classes))
