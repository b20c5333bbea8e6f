"""What the indices of pruned and shared weights are worth, to say how far a coder is from it. Pure."""

import numpy as np
from numpy.typing import NDArray


def entropy_bits(indices: NDArray[np.int64]) -> float:
    """Bits of all indices together at their own frequencies, order 0: n log2 n - sum c log2 c."""
    counts = np.unique(indices, return_counts=True)[1].astype(np.float64)
    total = counts.sum()
    # A constant array would give -0.0.
    return max(0.0, float(total * np.log2(total) - (counts * np.log2(counts)).sum()))


def palette_bits(values: NDArray[np.float32]) -> float:
    """Order-0 bits of a layer's values as indices into its distinct ones, and these as float32; zero is free."""
    distinct, indices = np.unique(values, return_inverse=True)
    return entropy_bits(indices.reshape(-1).astype(np.int64)) + 32.0 * int((distinct != 0).sum())
