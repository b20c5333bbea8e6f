"""Bit histories: what a context remembers of the bits that followed it, in one byte.

A history is a pair of counts, zeros and ones, each bounded the more the larger the other is: sure contexts count far,
torn ones need not. A bit that comes also takes from a large opposite count, because what came last matters most
(Mahoney, Data Compression Explained, section 4.1.3). What a history is worth as a probability is learnt while coding.
"""

from functools import cache

import numpy as np
import numpy.typing as npt

from delta.arrays import Octets
from delta.text.logistic import ONE

Counts = npt.NDArray[np.int64]

_BOUNDS = (48, 24, 16, 12, 10, 9, 8, 8)
"""The most that the larger count may be, by the smaller one. 222 histories; found by trial on ONNX graphs."""
NEW = 0
"""Nothing was seen."""


@cache
def _pairs() -> list[tuple[int, int]]:
    """Zeros and ones of every history, in the order of their numbers: shortest first."""
    totals = range(_BOUNDS[0] + 1)
    return [(zeros, total - zeros) for total in totals for zeros in range(total + 1) if _fits(zeros, total - zeros)]


def _fits(zeros: int, ones: int) -> bool:
    smaller, larger = sorted((zeros, ones))
    return smaller < len(_BOUNDS) and larger <= _BOUNDS[smaller]


@cache
def successors(bit: int) -> bytes:
    """The history that each becomes when `bit` follows."""
    numbers = {pair: number for number, pair in enumerate(_pairs())}
    found = []
    for pair in _pairs():
        same, other = pair[bit] + 1, pair[1 - bit]
        if other > 2:
            other = 2 + (other - 2) // 2
        while not _fits(same, other):
            same -= 1
        found.append(numbers[(other, same) if bit else (same, other)])
    return bytes(found)


@cache
def probabilities() -> tuple[int, ...]:
    """What each history is worth at first: the probability of a one, in units of 1/65536.

    An estimator after Krichevsky and Trofimov, bolder where only one kind of bit was seen.
    """
    found = []
    for zeros, ones in _pairs():
        tenths = 4 if (zeros == 0) == (ones == 0) else 1
        found.append((ONE - 1) * (10 * ones + tenths) // (10 * (zeros + ones) + 2 * tenths))
    return tuple(found)


def of_counts(zeros: Counts, ones: Counts) -> Octets:
    """The histories nearest to plain counts of any size, keeping their proportion."""
    smaller, larger = np.minimum(zeros, ones), np.maximum(zeros, ones)
    bounds = np.array(_BOUNDS)
    kept_smaller = np.minimum(smaller, 1)
    kept_larger = np.minimum(larger, bounds[kept_smaller])
    for count in range(1, len(_BOUNDS)):
        scaled = (count * larger + smaller // 2) // np.maximum(smaller, 1)
        fits = (smaller >= count) & (scaled <= bounds[count])
        kept_smaller = np.where(fits, count, kept_smaller)
        kept_larger = np.where(fits, scaled, kept_larger)
    numbers = np.zeros((_BOUNDS[0] + 1, _BOUNDS[0] + 1), np.uint8)
    for number, pair in enumerate(_pairs()):
        numbers[pair] = number
    found: Octets = np.where(zeros < ones, numbers[kept_smaller, kept_larger], numbers[kept_larger, kept_smaller])
    return found
