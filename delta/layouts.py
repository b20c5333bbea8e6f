"""Layouts: in which order items of the base are taken, as axes with strides, so that a transposed tensor is one span."""

from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from delta.errors import PatchMalformed

MAX_AXES = 8


@dataclass(frozen=True, slots=True)
class Layout:
    """Axes of the output, outermost first: how many items each has, and their distance in items of the base."""

    extents: tuple[int, ...]
    strides: tuple[int, ...]

    def check(self) -> None:
        """Raise `PatchMalformed` where it has no axes, too many, or takes more than 2^62 items."""
        if not 0 < len(self.extents) <= MAX_AXES or 0 in self.extents:
            raise PatchMalformed("a layout has no axes, too many, or an empty one")
        if prod(self.extents) >= 1 << 62 or self.reach >= 1 << 62:
            raise PatchMalformed("a layout is too large")

    @property
    def reach(self) -> int:
        """The item of the base that lies furthest, counted from the first."""
        return sum((extent - 1) * stride for extent, stride in zip(self.extents, self.strides, strict=True))

    def places(self, first: int, count: int) -> npt.NDArray[np.int64]:
        """Where the items `first` to `first + count` of the output stand in the base.

        Raises:
            PatchMalformed: there are fewer.
        """
        if first + count > prod(self.extents):
            raise PatchMalformed("a span takes more items than its layout has")
        rest = np.arange(first, first + count, dtype=np.int64)
        places = np.zeros(count, np.int64)
        for extent, stride in zip(reversed(self.extents), reversed(self.strides), strict=True):
            rest, along = np.divmod(rest, extent)
            along *= stride
            places += along
        return places
