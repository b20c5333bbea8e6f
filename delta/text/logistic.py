"""The logistic function and its inverse in whole numbers: the mixer adds up evidence as `ln(p / (1 - p))`.

That is what logistic mixing means (Mahoney, Data Compression Explained, section 4.3.2). `math.exp` may round otherwise
on another processor, so the tables come from products of integers.
"""

from functools import cache
from itertools import pairwise

UNIT = 256
"""Steps of the stretched scale per unit of `ln(p / (1 - p))`."""
PROBABILITY_BITS = 16
ONE = 1 << PROBABILITY_BITS
LIMIT = 12 * UNIT
"""Stretched sums are held inside this bound: one in 160,000."""
STRETCHED_LIMIT = 8 * UNIT - 1
"""A single model's evidence is held inside this bound."""

_GROWTH = 0x10100802AB55777D2
"""e^(1/256) in units of 2^-64."""


@cache
def squash_table() -> list[int]:
    """The probability of a one, 1 to 65535 in units of 1/65536, of every stretched value from `-LIMIT` to `LIMIT`.

    Negative ones count from the end, as Python does: the table begins with that of zero.
    """
    rising = []
    growth = 1 << 64
    for _ in range(LIMIT + 1):
        rising.append(min(ONE * growth // ((1 << 64) + growth), ONE - 1))
        growth = growth * _GROWTH >> 64
    return rising + [ONE - value for value in rising[:0:-1]]


@cache
def stretch_table() -> list[int]:
    """The inverse: the stretched value of every probability in units of 1/65536, held inside `STRETCHED_LIMIT`."""
    squashed = [squash_table()[place] for place in range(-STRETCHED_LIMIT, STRETCHED_LIMIT + 1)]
    values = range(-STRETCHED_LIMIT, STRETCHED_LIMIT + 1)
    counts = [above - below for below, above in pairwise([0, *squashed[1:], ONE])]
    # A value is one object however often it stands there: two MiB less.
    return [value for value, count in zip(values, counts, strict=True) for _ in range(count)]
