"""Figures over devices, as values. Percentiles are never averaged: a device stands for itself with its own, and histograms are added up."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import Any, NamedTuple

from benchmarks.histogram import quantile, samples_in
from benchmarks.statistics import P90_MIN_N, P99_MIN_N, percentile


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure over devices: the median device's, the quartiles, the range. Each is a device's own figure."""

    median: float
    q1: float
    q3: float
    lowest: float
    highest: float
    devices: int


@dataclass(frozen=True, slots=True)
class FleetLatency:
    """Latency over all inferences of all devices of a series, in nanoseconds; a percentile is None where too few stand behind it."""

    inferences: int
    p50_ns: float | None
    p90_ns: float | None
    p99_ns: float | None


@dataclass(frozen=True, slots=True)
class Energy:
    """Joules per inference over the devices with the best instrument; those of other instruments do not compare and are left out."""

    source: str
    joules: Spread


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Top-1 on the device: of the median device, with its own 95 % interval."""

    value: float
    ci_low: float | None
    ci_high: float | None
    devices: int


class Stood(NamedTuple):
    """What one device stands with in a series. A tuple, because pages make one for each of tens of thousands of rows."""

    p50_latency_ns: int | None
    cpu_ns: int | None
    peak_memory_bytes: int | None
    energy_j: float | None
    energy_source: str
    energy_tier: int | None
    accuracy: float | None
    accuracy_ci_low: float | None
    accuracy_ci_high: float | None


def spread_of(values: Iterable[float | None]) -> Spread | None:
    """The spread of what was measured; of an even number the lower median, so that it is a device's own figure."""
    ordered: Sequence[Any] = sorted(value for value in values if value is not None)
    if not ordered:
        return None
    return Spread(
        median=median_low(ordered),
        q1=percentile(ordered, 0.25),
        q3=percentile(ordered, 0.75),
        lowest=ordered[0],
        highest=ordered[-1],
        devices=len(ordered),
    )


def energy_of(standing: Sequence[Stood]) -> Energy | None:
    """By the source with the best tier that any device has; of several with this tier the most frequent."""
    measured = [one for one in standing if one.energy_j is not None]
    sources = [(one.energy_tier if one.energy_tier is not None else 99, one.energy_source) for one in measured]
    if not sources:
        return None
    tier, source = min(set(sources), key=lambda one: (one[0], -sources.count(one), one[1]))
    alike = [one.energy_j for one, of in zip(measured, sources, strict=True) if of == (tier, source)]
    joules = spread_of(alike)
    return None if joules is None else Energy(source, joules)


def accuracy_of(standing: Sequence[Stood]) -> Accuracy | None:
    """The median device's accuracy on its samples, with the interval that this device found."""
    measured = [(one.accuracy, one) for one in standing if one.accuracy is not None]
    if not measured:
        return None
    value, device = sorted(measured, key=lambda each: each[0])[(len(measured) - 1) // 2]
    return Accuracy(value, device.accuracy_ci_low, device.accuracy_ci_high, len(measured))


def fleet_latency(histogram: Mapping[str, Any] | None) -> FleetLatency | None:
    """The percentiles of an added-up histogram; None where no run had one."""
    inferences = samples_in(histogram) if histogram else 0
    if not histogram or not inferences:
        return None
    return FleetLatency(
        inferences,
        quantile(histogram, 0.5),
        quantile(histogram, 0.9) if inferences >= P90_MIN_N else None,
        quantile(histogram, 0.99) if inferences >= P99_MIN_N else None,
    )
