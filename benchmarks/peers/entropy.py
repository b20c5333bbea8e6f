"""What the codes of a sparse difference cost at best without context: the reference for our own coding of them.

Adaptive order-0 entropy after R. Krichevsky and V. Trofimov (IEEE Trans. Inf. Theory 27(2), 1981): each symbol costs
-log2((n_x + 1/2) / (n + m/2)) with the counts so far and m symbols. It depends on the final counts only. Which symbols
occur, the steps and the shapes are not counted, which makes the reference stricter.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class CodesEntropy:
    """Bytes for all codes with one set of counts, and with one set for each tensor; `non_zeros` codes are not 0."""

    together_bytes: float
    per_tensor_bytes: float
    non_zeros: int

    @property
    def lower_bytes(self) -> float:
        """The lower of the two, which is what ours is compared with."""
        return min(self.together_bytes, self.per_tensor_bytes)


def codes_entropy(codes: Path) -> CodesEntropy:
    """Of an .npz with one integer array per tensor."""
    with np.load(codes, allow_pickle=False) as archive:
        tensors = [archive[name].ravel() for name in sorted(archive.files)]
    return CodesEntropy(
        together_bytes=adaptive_bits(np.concatenate(tensors)) / 8,
        per_tensor_bytes=sum(map(adaptive_bits, tensors)) / 8,
        non_zeros=sum(int(np.count_nonzero(tensor)) for tensor in tensors),
    )


def adaptive_bits(symbols: NDArray[np.integer]) -> float:
    """Bits that a KT estimator needs for the sequence."""
    _, counts = np.unique(symbols, return_counts=True)
    ways, total = len(counts), int(counts.sum())
    logarithm = math.lgamma(ways / 2) - math.lgamma(total + ways / 2)
    logarithm += sum(math.lgamma(count + 0.5) - math.lgamma(0.5) for count in counts.tolist())
    return -logarithm / math.log(2)
