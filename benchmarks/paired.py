"""Two models on the same samples: does the one know what the other knows? Pure, standard library only.

Two accuracies on the same samples are not independent: what counts are the samples on which exactly one of the two is right.
Sources: Q. McNemar, Psychometrika 12 (1947), in its exact form (the binomial test of the discordant pairs); D. G. Bonett and R. M. Price,
J. Educ. Behav. Stat. 37 (2012), adjusted Wald interval of a difference of paired proportions, which keeps its level on few discordant pairs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from benchmarks.statistics import wilson_interval

_Z_95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Paired:
    """A model compared with a reference over `n` samples; shares lie in 0..1, `difference` is the model's accuracy less the reference's.

    Attributes:
        agreement: the share of samples for which both say the same, right or wrong.
        gained, lost: how many samples only the model, or only the reference, has right.
        p_value: of McNemar's exact test that neither is better, two-sided.
    """

    n: int
    agreement: float
    agreement_ci95: tuple[float, float]
    gained: int
    lost: int
    difference: float
    difference_ci95: tuple[float, float]
    p_value: float


def compare(model: Sequence[int], reference: Sequence[int], labels: Sequence[int]) -> Paired:
    """Compare the classes that two models say for the same samples.

    Raises:
        ValueError: the three differ in length, or are empty.
    """
    n = len(labels)
    if not n or len(model) != n or len(reference) != n:
        raise ValueError(f"{len(model)} and {len(reference)} answers for {n} labels")
    same = sum(a == b for a, b in zip(model, reference, strict=True))
    gained = sum(a == label != b for a, b, label in zip(model, reference, labels, strict=True))
    lost = sum(b == label != a for a, b, label in zip(model, reference, labels, strict=True))
    return Paired(
        n=n,
        agreement=same / n,
        agreement_ci95=wilson_interval(same, n),
        gained=gained,
        lost=lost,
        difference=(gained - lost) / n,
        difference_ci95=paired_interval(gained, lost, n),
        p_value=mcnemar_p_value(gained, lost),
    )


def mcnemar_p_value(gained: int, lost: int) -> float:
    """The two-sided exact probability of discordant pairs as uneven as these, if either side were as likely."""
    discordant, fewer = gained + lost, min(gained, lost)
    tail = sum(math.comb(discordant, k) for k in range(fewer + 1))
    # Whole numbers: 2**discordant may be larger than a float.
    return min(1.0, float(Fraction(2 * tail, 1 << discordant)))


def paired_interval(gained: int, lost: int, n: int) -> tuple[float, float]:
    """The 95 % interval of the difference of two accuracies over the same `n` samples, within -1..1."""
    more, less = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    difference = more - less
    spread = _Z_95 * math.sqrt((more + less - difference**2) / (n + 2))
    return max(-1.0, difference - spread), min(1.0, difference + spread)
