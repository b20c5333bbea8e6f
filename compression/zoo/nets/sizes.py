"""How large the feature map of a chain of layers is: what a dense layer behind it must know."""

from torch import nn

from compression.zoo.entry import NetShape


def size_after(layers: nn.Sequential, shape: NetShape) -> tuple[int, int]:
    """Height and width behind a chain of convolutions and poolings; other layers are taken to keep the size.

    Raises:
        ValueError: the input is too small for the chain; the message has its size.
    """
    height, width = (_length_after(layers, length, axis) for axis, length in enumerate((shape.height, shape.width)))
    if min(height, width) < 1:
        raise ValueError(f"an input of {shape.height} x {shape.width} is too small for this net")
    return height, width


def _length_after(layers: nn.Sequential, length: int, axis: int) -> int:
    for layer in layers:
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
            kernel, stride, padding, dilation = (
                value[axis] if isinstance(value, tuple) else int(value)
                for value in (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
            )
            length = (length + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    return length
