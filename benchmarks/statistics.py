"""Order statistics with honest bounds. Pure, standard library only.

Sources: MLPerf LoadGen early stopping (mlcommons/inference_policies, inference_rules.adoc, appendix "Early Stopping";
confidence 0.99, tolerance 0); Tukey fences as in criterion.rs; Wilson, JASA 22 (1927).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

_Number = TypeVar("_Number", int, float)

P90_MIN_N = 64
P99_MIN_N = 662


def percentile(ordered: Sequence[int], share: float) -> int:
    """The smallest value that at least `share` of the sorted values do not exceed (nearest rank: always a real sample)."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def early_stopping_upper_bound(ordered: Sequence[int], share: float, *, confidence: float = 0.99) -> int | None:
    """A value that the true `share`-quantile does not exceed with `confidence`, or None when there are too few samples.

    LoadGen's rule: find the largest t for which seeing at most t values above the quantile has a probability of at most
    1 - confidence, drop the t - 1 highest values and take the next one.
    """
    t = _overlatency_allowance(len(ordered), share, 1 - confidence)
    return ordered[-t] if t >= 1 else None


def _overlatency_allowance(n: int, share: float, risk: float) -> int:
    """The largest t with P[Binomial(n, 1 - share) <= t] <= risk, or -1; in logarithms, since share**n underflows."""
    log_odds = math.log1p(-share) - math.log(share)
    log_pmf = n * math.log(share)
    log_cdf = log_pmf
    log_risk = math.log(risk)
    t = -1
    while log_cdf <= log_risk and t < n:
        t += 1
        log_pmf += math.log((n - t) / (t + 1)) + log_odds if t < n else -math.inf
        log_cdf = _log_add(log_cdf, log_pmf)
    return t


def _log_add(a: float, b: float) -> float:
    high, low = max(a, b), min(a, b)
    return high + math.log1p(math.exp(low - high))


def median_interval(ordered: Sequence[_Number], *, confidence: float = 0.95) -> tuple[_Number, _Number] | None:
    """The distribution-free interval for the median from symmetric order statistics, or None for fewer than 6 samples."""
    n = len(ordered)
    k = _overlatency_allowance(n, 0.5, (1 - confidence) / 2)
    return (ordered[k], ordered[n - 1 - k]) if k >= 0 else None


def median_absolute_deviation(ordered: Sequence[int]) -> int:
    """The median distance from the median (not scaled to a standard deviation)."""
    centre = percentile(ordered, 0.5)
    return percentile(sorted(abs(value - centre) for value in ordered), 0.5)


@dataclass(frozen=True, slots=True)
class Outliers:
    """Samples beyond 1.5 and beyond 3 interquartile ranges. They are counted, never dropped."""

    mild: int
    severe: int


def count_outliers(ordered: Sequence[int]) -> Outliers:
    """Count Tukey outliers on both sides."""
    low, high = percentile(ordered, 0.25), percentile(ordered, 0.75)
    fence = high - low
    beyond = [max(low - value, value - high) for value in ordered]
    severe = sum(distance > 3 * fence for distance in beyond)
    return Outliers(mild=sum(distance > 1.5 * fence for distance in beyond) - severe, severe=severe)


def wilson_interval(hits: int, n: int, *, z: float = 1.959963984540054) -> tuple[float, float]:
    """The score interval of a proportion (95 % by default), which stays inside [0, 1]."""
    if n == 0:
        return 0.0, 1.0
    share = hits / n
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)
