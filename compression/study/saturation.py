"""Where more stops paying: the smallest level of a parameter that no higher level beats. Pure.

A sweep gives a score for every level in every block, a block being one seed and fold with everything else equal, so levels are compared
within blocks. For each two levels L < H a one-sided paired t-test asks whether H is better. Folds share training samples, which makes
their differences look more certain than they are; the variance is corrected for that (C. Nadeau and Y. Bengio, "Inference for the
generalization error", Machine Learning 52, 2003; for repeated folds R. Bouckaert and E. Frank, PAKDD 2004). All pairs are tested, not only
neighbours, because many steps, each too small to see, may add up to one that is seen; Holm's method (S. Holm, Scand. J. Statist. 6, 1979)
keeps the chance of any false alarm over all pairs at `ALPHA`.

The *saturation point* is the smallest level that no higher one beats. No test shows that nothing is left to gain, so the most that may be
left is said too: the upper end of a one-sided 95 % interval.

Along a front there are no blocks, but every point answered the same samples: there the pairs are tested by McNemar's exact test,
one-sided, on the samples that exactly one of the two gets right.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

ALPHA = 0.05
MIN_BLOCKS = 3

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Saturation:
    """Where a sweep saturates.

    Attributes:
        saturates_at: the smallest level that no higher one beats; None where that is the highest, so that nothing can be said of more.
        p_value: the smallest adjusted p-value of the tests that a higher level beats this one; None where nothing was tested.
        gain_left: upper end of the one-sided 95 % interval of what any higher level may still gain, in the score's unit.
        blocks: scores per level.
        pairs: how many pairs of levels Holm's method counted.
    """

    saturates_at: float | None
    p_value: float | None
    gain_left: float | None
    blocks: int
    pairs: int


def saturation_of_sweep(levels: Sequence[float], scores: Scores, *, overlap: float = 0.0) -> Saturation:
    """Judge a sweep.

    Args:
        levels: rising.
        scores: float64 [block, level], higher is better.
        overlap: test samples by training samples of one fold, 1 / (folds - 1); 0 where only seeds differ.

    Raises:
        ValueError: the levels do not rise, or do not fit the scores.
    """
    if list(levels) != sorted(set(levels)):
        raise ValueError(f"levels must rise: {list(levels)}")
    if scores.ndim != 2 or scores.shape[1] != len(levels):
        raise ValueError(f"scores of {len(levels)} levels are [block, {len(levels)}], not {list(scores.shape)}")
    blocks = len(scores)
    pairs = [(low, high) for low in range(len(levels)) for high in range(low + 1, len(levels))]
    if blocks < MIN_BLOCKS or not pairs:
        return Saturation(None, None, None, blocks, len(pairs))
    tests = {pair: _paired(scores[:, pair[1]] - scores[:, pair[0]], overlap) for pair in pairs}
    return _judged(levels, {pair: p for pair, (p, _) in tests.items()}, {p: b for p, (_, b) in tests.items()}, blocks)


def saturation_of_front(costs: Sequence[float], right: Sequence[NDArray[np.bool_]]) -> Saturation:
    """Judge the points of a front by their answers to the same samples.

    Args:
        costs: rising.
        right: for each point, bool [sample]: whether its answer is right.

    Raises:
        ValueError: the costs do not rise, or the points answered other numbers of samples.
    """
    if list(costs) != sorted(set(costs)) or len(costs) != len(right):
        raise ValueError(f"costs must rise, one for each point: {list(costs)}")
    samples = {len(answers) for answers in right}
    if len(samples) > 1:
        raise ValueError(f"points answered different numbers of samples: {sorted(samples)}")
    pairs = [(low, high) for low in range(len(costs)) for high in range(low + 1, len(costs))]
    if not pairs:
        return Saturation(None, None, None, max(samples, default=0), 0)
    p_values, bounds = {}, {}
    for low, high in pairs:
        gained, lost = int((right[high] & ~right[low]).sum()), int((right[low] & ~right[high]).sum())
        p_values[low, high] = float(stats.binom.sf(gained - 1, gained + lost, 0.5))
        bounds[low, high] = _wald_upper(gained, lost, samples.copy().pop())
    return _judged(costs, p_values, bounds, samples.pop())


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values in the order given: each may be compared with the level of the whole family."""
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def _judged(
    levels: Sequence[float], p_values: dict[tuple[int, int], float], bounds: dict[tuple[int, int], float], blocks: int
) -> Saturation:
    adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    for low in range(len(levels) - 1):
        own = [pair for pair in adjusted if pair[0] == low]
        evidence = min(adjusted[pair] for pair in own)
        if evidence >= ALPHA:
            return Saturation(levels[low], evidence, max(bounds[pair] for pair in own), blocks, len(adjusted))
    last = len(levels) - 2
    return Saturation(None, adjusted[last, last + 1], None, blocks, len(adjusted))


def _paired(differences: Scores, overlap: float) -> tuple[float, float]:
    """One-sided p-value that the mean difference is above 0, and the upper end of its one-sided 95 % interval."""
    n = len(differences)
    mean, variance = float(differences.mean()), float(differences.var(ddof=1))
    if math.isclose(variance, 0.0, abs_tol=1e-18):
        # All differences alike: a t-test has nothing to divide by, the sign test has.
        return (0.5**n if mean > 0 else 1.0), max(mean, 0.0)
    error = math.sqrt((1 / n + overlap) * variance)
    return float(stats.t.sf(mean / error, n - 1)), mean + float(stats.t.ppf(1 - ALPHA, n - 1)) * error


def _wald_upper(gained: int, lost: int, n: int) -> float:
    """Upper end of the one-sided 95 % interval of a difference of paired proportions (adjusted Wald, as `benchmarks.paired`)."""
    more, less = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    spread = float(stats.norm.ppf(1 - ALPHA)) * math.sqrt((more + less - (more - less) ** 2) / (n + 2))
    return min(1.0, more - less + spread)
