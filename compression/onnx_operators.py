"""Operations for which torch's exporter writes nothing or a page of shape arithmetic: they compute with torch and export as the few nodes meant.

All keep the batch open. Height and width are written down as they are when the net is exported.
"""

import warnings
from typing import Any, NamedTuple

import torch
from torch import nn

from compression.determinism import any_order


class ChannelShuffle(nn.Module):
    """Deal the channels of `groups` groups out so that each following group has some of every one; no parameter and no MAC.

    Section 5.7 of Iandola & Keutzer 2017; ShuffleNet (Zhang et al. 2017, section 3.1): channel g·n + i becomes i·groups + g,
    with n channels a group. Exported as Reshape, Transpose, Reshape.
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32 [N, C, H, W], C a multiple of `groups`, to the same shape."""
        if torch.onnx.is_in_onnx_export():
            shuffled: torch.Tensor = _Shuffle.apply(x, self.groups, sizes_of(x))  # type: ignore[no-untyped-call]
            return shuffled
        return nn.functional.channel_shuffle(x, self.groups)


class Places(NamedTuple):
    """Where the maxima of a pooling were: int64 [N, C, H', W'], in a map of `height` x `width`.

    They count from the beginning of a map in torch and of the whole tensor in ONNX, so nothing but `max_unpool` should read them.
    """

    indices: torch.Tensor
    height: int
    width: int


def max_pool_with_places(x: torch.Tensor) -> tuple[torch.Tensor, Places]:
    """2x2 max pooling of [N, C, H, W], odd sizes rounded up, and where each maximum was. Exported as one MaxPool with two outputs."""
    _, height, width = sizes_of(x)
    if torch.onnx.is_in_onnx_export():
        pooled, index = _PoolWithPlaces.apply(x)  # type: ignore[no-untyped-call]
    else:
        pooled, index = nn.functional.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
    return pooled, Places(index, height, width)


def max_unpool(x: torch.Tensor, places: Places) -> torch.Tensor:
    """Put each value back to where a maximum was, zeros elsewhere (SegNet, Badrinarayanan et al. 2015, section 3). Exported as MaxUnpool.

    `x` is [N, C, H', W'] with as many channels as what was pooled.
    """
    if torch.onnx.is_in_onnx_export():
        channels, _, _ = sizes_of(x)
        unpooled: torch.Tensor = _Unpool.apply(x, places.indices, (channels, places.height, places.width))  # type: ignore[no-untyped-call]
        return unpooled
    # The places of poolings that do not overlap are all different, so nothing is written twice.
    with any_order():
        return nn.functional.max_unpool2d(x, places.indices, (2, 2), output_size=[places.height, places.width])


class PReLU(nn.Module):
    """A leaky ReLU with a trained slope per channel, which is kept [C, 1, 1], as ONNX wants it, so that nothing reshapes it."""

    def __init__(self, channels: int, *, slope: float = 0.25) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.full((channels, 1, 1), slope))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32 [N, C, H, W] to the same shape."""
        if torch.onnx.is_in_onnx_export():
            bent: torch.Tensor = _PRelu.apply(x, self.slope)  # type: ignore[no-untyped-call]
            return bent
        return nn.functional.prelu(x, self.slope.flatten())


class InstanceNorm(nn.Module):
    """Every channel of every image to mean 0 and variance 1, then a trained scale and shift; the same in training and later.

    torch's asks for the size of the map while it is traced.
    """

    eps = 1e-5

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32 [N, C, H, W] to the same shape."""
        if torch.onnx.is_in_onnx_export():
            normed: torch.Tensor = _InstanceNorm.apply(x, self.weight, self.bias)  # type: ignore[no-untyped-call]
            return normed
        return nn.functional.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)


class ReflectionPad(nn.Module):
    """`pixels` more on every side, mirrored."""

    def __init__(self, pixels: int) -> None:
        super().__init__()
        self.pixels = pixels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32 [N, C, H, W] to [N, C, H + 2 pixels, W + 2 pixels]."""
        if torch.onnx.is_in_onnx_export():
            padded: torch.Tensor = _Pad.apply(x, 0, self.pixels, "reflect", sizes_of(x))  # type: ignore[no-untyped-call]
            return padded
        return nn.functional.pad(x, (self.pixels,) * 4, mode="reflect")


def with_empty_channels(x: torch.Tensor, count: int) -> torch.Tensor:
    """[N, C, H, W] with `count` channels of zeros behind."""
    if torch.onnx.is_in_onnx_export():
        padded: torch.Tensor = _Pad.apply(x, count, 0, "constant", sizes_of(x))  # type: ignore[no-untyped-call]
        return padded
    return nn.functional.pad(x, (0, 0, 0, 0, 0, count))


def sizes_of(x: torch.Tensor) -> tuple[int, int, int]:
    """Channels, height and width as numbers, also while the exporter traces: they are meant to be written down."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]  # torch documents it there
        channels, height, width = (int(size) for size in x.shape[1:])
    return channels, height, width


Sizes = tuple[int, int, int]


class _Shuffle(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, x: torch.Tensor, groups: int, _sizes: Sizes) -> torch.Tensor:
        return nn.functional.channel_shuffle(x, groups)

    @staticmethod
    def symbolic(g: Any, x: Any, groups: int, sizes: Sizes) -> Any:
        channels, height, width = sizes
        parted = g.op("Reshape", x, _numbers(g, -1, groups, channels // groups, height * width))
        dealt = g.op("Transpose", parted, perm_i=[0, 2, 1, 3])
        return _sized(g.op("Reshape", dealt, _numbers(g, -1, channels, height, width)), x, sizes)


class _PoolWithPlaces(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return nn.functional.max_pool2d(x, 2, ceil_mode=True, return_indices=True)

    @staticmethod
    def symbolic(g: Any, x: Any) -> Any:
        return g.op("MaxPool", x, outputs=2, kernel_shape_i=[2, 2], strides_i=[2, 2], ceil_mode_i=1)


class _Unpool(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, x: torch.Tensor, index: torch.Tensor, sizes: Sizes) -> torch.Tensor:
        with any_order():
            unpooled: torch.Tensor = torch.ops.aten.max_unpool2d(x, index, list(sizes[1:]))
        return unpooled

    @staticmethod
    def symbolic(g: Any, x: Any, index: Any, sizes: Sizes) -> Any:
        # MaxUnpool makes 2·(rows - 1) + kernel rows, and asks the kernel for nothing else.
        kernel = [2 - side % 2 for side in sizes[1:]]
        return _sized(g.op("MaxUnpool", x, index, kernel_shape_i=kernel, strides_i=[2, 2]), x, sizes)


class _PRelu(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, x: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
        return nn.functional.prelu(x, slope.flatten())

    @staticmethod
    def symbolic(g: Any, x: Any, slope: Any) -> Any:
        return g.op("PRelu", x, slope).setType(x.type())


class _InstanceNorm(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return torch.instance_norm(x, weight, bias, None, None, True, 0.0, InstanceNorm.eps, False)  # noqa: FBT003  as torch has it

    @staticmethod
    def symbolic(g: Any, x: Any, weight: Any, bias: Any) -> Any:
        return g.op("InstanceNormalization", x, weight, bias, epsilon_f=InstanceNorm.eps).setType(x.type())


class _Pad(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, x: torch.Tensor, channels: int, pixels: int, mode: str, _sizes: Sizes) -> torch.Tensor:
        sides = (*(pixels,) * 4, *((0, channels) if channels else ()))
        return nn.functional.pad(x, sides, mode=mode)

    @staticmethod
    def symbolic(g: Any, x: Any, channels: int, pixels: int, mode: str, sizes: Sizes) -> Any:  # noqa: PLR0917  as torch calls it
        pads = _numbers(g, 0, 0, pixels, pixels, 0, channels, pixels, pixels)
        made = (sizes[0] + channels, sizes[1] + 2 * pixels, sizes[2] + 2 * pixels)
        return _sized(g.op("Pad", x, pads, mode_s=mode), x, made)


def _numbers(g: Any, *numbers: int) -> Any:
    return g.op("Constant", value_t=torch.tensor(numbers, dtype=torch.int64))


def _sized(value: Any, like: Any, sizes: Sizes) -> Any:
    """The value with its shape said where the exporter cannot infer it."""
    return value.setType(like.type().with_sizes([None, *sizes]))
