"""Channels of a tensor: along an axis, items differ in scale, and saying so costs a few bits a channel."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

MIN_ITEMS_PER_CHANNEL = 16
MAX_CHANNELS = 1 << 14


@dataclass(frozen=True, slots=True)
class Axis:
    """Item i has channel (i // inner) % channels."""

    channels: int
    inner: int

    def root_mean_squares(self, items: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """One for each channel, of items in the order of the tensor."""
        by_channel = np.square(items).reshape(-1, self.channels, self.inner)
        roots: npt.NDArray[np.float64] = np.sqrt(by_channel.mean(axis=(0, 2)))
        return roots


def axes(dims: tuple[int, ...], size: int) -> Iterator[Axis]:
    """The whole tensor as one channel, then each axis that has channels of some size; `size` in items."""
    yield Axis(1, size)
    if prod(dims) != size:
        return
    for place, extent in enumerate(dims):
        if 1 < extent <= MAX_CHANNELS and size // extent >= MIN_ITEMS_PER_CHANNEL:
            yield Axis(extent, prod(dims[place + 1 :]))
