"""A difference as whole numbers of a step, one step a tensor: what `delta.corrections.steps` restores bit for bit. No torch.

A step is a float16, because that is what the encoder tries first and because a step needs no more: ten bits say it within 0.05 %.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from delta.corrections.steps import moved
from delta.encoder.ways.steps import MAX_CODE

Weights = NDArray[np.float32]

LEAST_STEP = float(np.finfo(np.float16).smallest_subnormal)
LARGEST_STEP = 1024.0


@dataclass(frozen=True, slots=True)
class Codes:
    """Codes (int16, of the tensor's shape) and their step, a float32 that a float16 can hold."""

    step: np.float32
    codes: NDArray[np.int16]

    def applied(self, base: Weights) -> Weights:
        """`base + step * codes`, each operation rounded to float32, as the decoder does it; `base` itself where all codes are 0."""
        if not self.codes.any():
            return base
        weights: Weights = moved(base, self.codes, self.step)
        return weights

    @property
    def changed(self) -> int:
        """How many items are not as in the base."""
        return int(np.count_nonzero(self.codes))


def as_step(value: float) -> np.float32:
    """The float16 nearest to `value`, and never 0 or infinite."""
    return np.float32(np.float16(min(max(value, LEAST_STEP), LARGEST_STEP)))


def rounded(difference: NDArray[np.float32] | NDArray[np.float64], step: float) -> Codes:
    """The nearest codes of a difference, ties to even, within what the format holds."""
    kept = as_step(step)
    codes = np.clip(np.rint(difference / np.float64(kept)), 1 - MAX_CODE, MAX_CODE - 1)
    return Codes(kept, codes.astype(np.int16))


def start_step(difference: NDArray[np.float32], deviations: float) -> np.float32:
    """So many standard deviations of a tensor's difference from v1 to v2, about zero."""
    return as_step(deviations * float(np.sqrt(np.mean(np.square(difference, dtype=np.float64)))))
