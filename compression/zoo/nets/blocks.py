"""Layers that several small nets are made of."""

from torch import nn


def normed(
    channels: int, width: int, kernel: int | tuple[int, int], *, stride: int = 1, groups: int = 1, dilation: int = 1
) -> list[nn.Module]:
    """A convolution without bias that keeps the size at a stride of 1, and its batch normalisation."""
    sides = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (dilation * (sides[0] // 2), dilation * (sides[1] // 2))
    conv = nn.Conv2d(
        channels, width, kernel, stride=stride, padding=padding, dilation=dilation, groups=groups, bias=False
    )
    return [conv, nn.BatchNorm2d(width)]
