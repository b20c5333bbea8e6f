"""Reads over reports: the figures of each series of a model line, and lists of reports."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import QuerySet

from access.errors import NotFound
from fleet.measurements.figures import (
    Accuracy,
    Energy,
    FleetLatency,
    Spread,
    Stood,
    accuracy_of,
    energy_of,
    fleet_latency,
    spread_of,
)
from fleet.measurements.models import BenchmarkReport, BenchmarkSeries, StandingRun
from registry.models import ModelLine

# Read as tuples: a model instance for each of a hundred thousand rows would take longer than the query.
_STOOD = (
    "series_id",
    "p50_latency_ns",
    "cpu_ns",
    "peak_memory_bytes",
    "energy_j",
    "energy_source",
    "energy_tier",
    "accuracy",
    "accuracy_ci_low",
    "accuracy_ci_high",
)


@dataclass(frozen=True, slots=True)
class SeriesFigures:
    """What a series says. Invalid runs are counted in it and are in none of its figures.

    Attributes:
        standing: what each device stands with.
        latency: over the devices' own headline p50.
        fleet: over all inferences of all runs that count.
        peak_memory: over the devices; a limit is kept by the highest.
    """

    series: BenchmarkSeries
    standing: Sequence[Stood]
    latency: Spread | None
    fleet: FleetLatency | None
    peak_memory: Spread | None
    energy: Energy | None
    accuracy: Accuracy | None

    @property
    def devices(self) -> int:
        """That stand in it."""
        return len(self.standing)

    @property
    def valid_share(self) -> float:
        """Of all runs, how many were valid without a reservation."""
        return self.series.valid_runs / self.series.runs if self.series.runs else 0.0


def series_figures(model_line: ModelLine) -> list[SeriesFigures]:
    """The figures of every series of the line. Two queries, and as many small rows as devices stand in series."""
    series = list(BenchmarkSeries.objects.filter(model_line=model_line).select_related("artifact"))
    standing: defaultdict[int, list[Stood]] = defaultdict(list)
    rows = StandingRun.objects.filter(series__in=[one.pk for one in series]).values_list(*_STOOD)
    for series_id, *figures in rows.iterator(chunk_size=5000):
        standing[series_id].append(Stood(*figures))
    return [_figures(one, standing[one.pk]) for one in series]


def _figures(series: BenchmarkSeries, standing: Sequence[Stood]) -> SeriesFigures:
    return SeriesFigures(
        series=series,
        standing=standing,
        latency=spread_of(one.p50_latency_ns for one in standing),
        fleet=fleet_latency(series.latency_histogram),
        peak_memory=spread_of(one.peak_memory_bytes for one in standing),
        energy=energy_of(standing),
        accuracy=accuracy_of(standing),
    )


def reports_matching(
    *, model: str | None = None, device: UUID | None = None, validity: str | None = None
) -> QuerySet[BenchmarkReport]:
    """Reports, newest first."""
    reports = BenchmarkReport.objects.select_related("device", "model_line", "artifact", "series")
    reports = reports.order_by("-received_at", "pk")
    if model is not None:
        # By the line's id, which the index begins with; a name that there is not has no reports.
        reports = reports.filter(model_line__in=list(ModelLine.objects.filter(name=model).values_list("pk", flat=True)))
    if device is not None:
        reports = reports.filter(device=device)
    return reports if validity is None else reports.filter(validity=validity)


def get_report(run_id: UUID) -> BenchmarkReport:
    """The report of this run.

    Raises:
        NotFound: there is none.
    """
    report = reports_matching().filter(pk=run_id).first()
    if report is None:
        raise NotFound(f"there is no report of a run {run_id}")
    return report
