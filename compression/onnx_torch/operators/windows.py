"""Sizes of sliding windows: strides, dilations and pads of convolution and pooling, by the formulas of the ONNX operators' text."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from compression.onnx_torch.node import Call


@dataclass(frozen=True, slots=True)
class Window:
    """One entry per spatial axis each."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begins: tuple[int, ...]
    ends: tuple[int, ...]

    @property
    def symmetric(self) -> bool:
        """Both ends of every axis are padded alike."""
        return self.begins == self.ends

    @property
    def extents(self) -> tuple[int, ...]:
        """How many places a window spans, holes included."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    def pad(self, x: Tensor, value: float = 0.0) -> Tensor:
        """`x` with its spatial axes padded."""
        return pad_spatial(x, self.begins, self.ends, value)


def read_window(call: Call, kernel: Sequence[int], sizes: Sequence[int]) -> Window:
    """The window of a Conv or pooling node with this `kernel` over an input of these spatial `sizes`."""
    rank = len(kernel)
    strides = call.integers("strides") or [1] * rank
    dilations = call.integers("dilations") or [1] * rank
    auto = call.text("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        begins, ends = [], []
        for size, k, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
            total = max((-(-size // stride) - 1) * stride + (k - 1) * dilation + 1 - size, 0)
            small, large = total // 2, total - total // 2
            begins.append(small if auto == "SAME_UPPER" else large)
            ends.append(large if auto == "SAME_UPPER" else small)
    elif auto == "VALID":
        begins, ends = [0] * rank, [0] * rank
    else:
        pads = call.integers("pads") or [0] * (2 * rank)
        begins, ends = pads[:rank], pads[rank:]
    return Window(tuple(kernel), tuple(strides), tuple(dilations), tuple(begins), tuple(ends))


def pad_spatial(x: Tensor, begins: Sequence[int], ends: Sequence[int], value: float = 0.0) -> Tensor:
    """`x` padded at its last axes, or cropped where a count is negative."""
    if not any(begins) and not any(ends):
        return x
    flat = [count for pair in zip(reversed(begins), reversed(ends), strict=True) for count in pair]
    return F.pad(x, flat, value=value)
