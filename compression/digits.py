"""The digits data set of scikit-learn and our fixed split of it. No torch.

1797 grey images of 8x8 pixels with values 0..16: the test part of "Optical Recognition of Handwritten Digits", E.
Alpaydin and C. Kaynak, UCI Machine Learning Repository, doi:10.24432/C50P49, CC BY 4.0. It is installed with
scikit-learn, nothing is downloaded.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

SPLIT_SEED = 2017
HELD_OUT_SAMPLES = 600
PIXEL_MAX = 16.0


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """`images` float32 [N, 1, 8, 8] in 0..1, `labels` int64 [N] in 0..9."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]

    def first(self, count: int) -> "LabelledImages":
        """The first `count` images."""
        return LabelledImages(self.images[:count], self.labels[:count])

    def sha256(self) -> str:
        """Digest of the little-endian image bytes followed by the little-endian label bytes."""
        digest = hashlib.sha256(np.ascontiguousarray(self.images, dtype="<f4").tobytes())
        digest.update(np.ascontiguousarray(self.labels, dtype="<i8").tobytes())
        return digest.hexdigest()


def split_digits() -> tuple[LabelledImages, LabelledImages]:
    """The training part (1197 images) and the held-out part (600), stratified by label, the same on every machine."""
    digits = load_digits()
    images = (digits.images / PIXEL_MAX).astype(np.float32)[:, np.newaxis]
    labels = digits.target.astype(np.int64)
    train_images, held_images, train_labels, held_labels = train_test_split(
        images, labels, test_size=HELD_OUT_SAMPLES, random_state=SPLIT_SEED, stratify=labels
    )
    return LabelledImages(train_images, train_labels), LabelledImages(held_images, held_labels)
