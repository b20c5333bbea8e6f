"""What every part of this package trains, calibrates and measures on."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compression.errors import DataUnusable

Array = NDArray[Any]
IMAGE = "image"
"""The input's name in the named sets."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Arrays by input name, [N, ...] each, and the classes, int64 [N], or None where nobody labelled them."""

    inputs: Mapping[str, Array]
    labels: NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    @property
    def images(self) -> NDArray[np.float32]:
        """The only input.

        Raises:
            DataUnusable: there are several.
        """
        if len(self.inputs) != 1:
            raise DataUnusable(f"one input is needed, the samples have {', '.join(self.inputs)}")
        return next(iter(self.inputs.values()))

    @property
    def classes(self) -> NDArray[np.int64]:
        """The labels.

        Raises:
            DataUnusable: there are none.
        """
        if self.labels is None:
            raise DataUnusable("the samples have no labels, and these are needed here")
        return self.labels

    def take(self, chosen: slice | Sequence[int] | NDArray[np.int64]) -> "Samples":
        """Those samples, in that order."""
        return Samples(
            {name: array[chosen] for name, array in self.inputs.items()},
            None if self.labels is None else self.labels[chosen],
        )

    def first(self, count: int) -> "Samples":
        """The first `count` samples."""
        return self.take(slice(count))

    def renamed(self, name: str) -> "Samples":
        """The same samples with another name for the only input."""
        return Samples({name: self.images}, self.labels)

    def sha256(self) -> str:
        """Digest of the little-endian bytes of the inputs in the order of their names, followed by those of the labels."""
        digest = hashlib.sha256()
        for name in sorted(self.inputs):
            array = self.inputs[name]
            digest.update(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes())
        if self.labels is not None:
            digest.update(np.ascontiguousarray(self.labels, dtype="<i8").tobytes())
        return digest.hexdigest()
