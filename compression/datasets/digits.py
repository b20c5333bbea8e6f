"""The digits data set of scikit-learn.

1797 grey images of 8x8 pixels with values 0..16: the test part of "Optical Recognition of Handwritten Digits", E.
Alpaydin and C. Kaynak, UCI Machine Learning Repository, doi:10.24432/C50P49, CC BY 4.0. It is installed with
scikit-learn, nothing is downloaded.
"""

import numpy as np
from sklearn.datasets import load_digits

from compression.datasets.samples import IMAGE, Samples

PIXEL_MAX = 16.0


def digits() -> Samples:
    """float32 [1797, 1, 8, 8] in 0..1, labels 0..9."""
    found = load_digits()
    return Samples({IMAGE: (found.images / PIXEL_MAX).astype(np.float32)[:, np.newaxis]}, found.target.astype(np.int64))
