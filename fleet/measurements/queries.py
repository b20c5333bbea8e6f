"""Reads over reports. Percentiles are never averaged: a device stands for itself with its own p50, and a group with the median device."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median_low
from uuid import UUID

from django.db.models import QuerySet

from fleet.measurements.models import BenchmarkReport
from registry.models import ModelLine

Validity = BenchmarkReport.Validity


@dataclass(frozen=True, slots=True)
class LatencyFigure:
    """The latency of one model on one class of devices.

    Attributes:
        median_p50_ns: of the devices' own p50 (each its newest run that is not invalid), the median one; None if there is no such run.
        devices: how many devices stand behind it.
        reports: all runs, the invalid ones too.
        valid_share: of those, the share in the state `valid`, 0 to 1.
    """

    median_p50_ns: int | None
    devices: int
    reports: int
    valid_share: float


@dataclass(frozen=True, slots=True)
class _Run:
    device_id: UUID
    validity: str
    p50_latency_ns: int | None


def latency_by_artifact(model_line: ModelLine) -> Mapping[tuple[int, str], LatencyFigure]:
    """By artifact id and device class, the latency of the line's models."""
    rows = (
        BenchmarkReport.objects.filter(model_line=model_line)
        .order_by("received_at", "pk")
        .values_list("artifact", "device_class", "device", "validity", "p50_latency_ns")
    )
    runs: dict[tuple[int, str], list[_Run]] = defaultdict(list)
    for artifact_id, device_class, device_id, validity, p50_latency_ns in rows:
        runs[artifact_id, device_class].append(_Run(device_id, validity, p50_latency_ns))
    return {key: _figure(of_key) for key, of_key in runs.items()}


def _figure(runs: Iterable[_Run]) -> LatencyFigure:
    """The figure of runs that are sorted from the oldest to the newest."""
    newest: dict[UUID, int] = {}
    states: list[str] = []
    for run in runs:
        states.append(run.validity)
        if run.validity != Validity.INVALID and run.p50_latency_ns is not None:
            newest[run.device_id] = run.p50_latency_ns
    return LatencyFigure(
        median_p50_ns=median_low(newest.values()) if newest else None,
        devices=len(newest),
        reports=len(states),
        valid_share=states.count(Validity.VALID) / len(states),
    )


def reports_matching(
    *, model: str | None = None, device: UUID | None = None, validity: str | None = None
) -> QuerySet[BenchmarkReport]:
    """Reports, newest first."""
    reports = BenchmarkReport.objects.select_related("device", "model_line", "artifact").order_by("-received_at", "pk")
    if model is not None:
        reports = reports.filter(model_line__name=model)
    if device is not None:
        reports = reports.filter(device=device)
    return reports if validity is None else reports.filter(validity=validity)
