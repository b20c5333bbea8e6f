"""What graphs promise beside what devices measured, for each pair of models that ran under the same conditions. Pure.

The judgement is the ruler's own (`benchmarks.proxy`); here the figures of many devices are given to it.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.proxy import (
    Candidate,
    Comparison,
    Estimate,
    Measured,
    MetricName,
    Verdict,
    compare,
    exactly,
    pooled,
    proxies_of,
    sentence,
)
from benchmarks.report import Absent, Maybe
from fleet.measurements.queries import SeriesFigures
from registry.models import Artifact

# The interval of a median is found in time that grows with the devices, and of this many it is narrow enough.
MAX_DEVICES = 250


@dataclass(frozen=True, slots=True)
class Promise:
    """What a model's graph promises, by name; None where it was not counted, with the reason beside it."""

    macs: float | None
    size_bytes: int
    energy_low_j: float | None
    energy_high_j: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A proxy that would have chosen the worse of two models under these conditions."""

    device_class: str
    conditions: str
    verdict: Verdict
    comparison: Comparison

    @property
    def text(self) -> str:
        """In words."""
        return sentence(self.verdict, self.comparison)


def promise_of(artifact: Artifact) -> Promise:
    """What the graph of a model promises."""
    proxies = proxies_of(artifact.static_cost, size_bytes=artifact.size_bytes)
    macs, analytic = proxies["macs"], proxies["analytic_j"]
    reasons = dict.fromkeys(part.reason for part in (macs, analytic) if isinstance(part, Absent))
    return Promise(
        macs=None if isinstance(macs, Absent) else macs.mid,
        size_bytes=artifact.size_bytes,
        energy_low_j=None if isinstance(analytic, Absent) else analytic.low,
        energy_high_j=None if isinstance(analytic, Absent) else analytic.high,
        reason="; ".join(reasons),
    )


def disagreements(figures: Iterable[SeriesFigures]) -> list[Disagreement]:
    """Where a proxy and a measurement prefer different models of a line, each pair under the same conditions."""
    alike: defaultdict[tuple[Any, ...], list[SeriesFigures]] = defaultdict(list)
    for one in figures:
        if one.standing:
            alike[one.series.key].append(one)
    found = []
    for together in alike.values():
        candidates = [_candidate(one) for one in together]
        series = together[0].series
        for a, b in itertools.combinations(candidates, 2):
            comparison = compare(a, b)
            found += [
                Disagreement(series.device_class, series.conditions, verdict, comparison)
                for verdict in comparison.disagreements
            ]
    return found


def _candidate(figures: SeriesFigures) -> Candidate:
    standing, energy, artifact = figures.standing, figures.energy, figures.series.artifact
    proxies = proxies_of(artifact.static_cost, size_bytes=artifact.size_bytes)
    source = energy.source if energy else ""
    metrics: dict[MetricName, Maybe[Estimate]] = {
        "p50_latency_ns": _pooled("p50_latency_ns", [one.p50_latency_ns for one in standing]),
        "cpu_ns": _pooled("cpu_ns", [one.cpu_ns for one in standing]),
        "energy_j": _pooled("energy_j", [one.energy_j for one in standing if one.energy_source == source]),
    }
    return Candidate(figures.label, proxies, Measured({"series": figures.series.key}, metrics, source))


def _pooled(metric: MetricName, values: Sequence[float | None]) -> Maybe[Estimate]:
    measured = sorted(value for value in values if value is not None)
    if not measured:
        return Absent("not measured")
    # Evenly spaced in order: the median stays, and the interval is a little wider than that of all.
    step = max(1.0, len(measured) / MAX_DEVICES)
    thinned = [measured[int((place + 0.5) * step)] for place in range(int(len(measured) / step))]
    return pooled(metric, [exactly(value) for value in thinned])
