"""Reads over reports: the figures of each series of a model line, and lists of reports."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Count, QuerySet

from access.actors import Actor
from access.errors import NotFound
from access.models import Scope
from fleet.devices.models import Device
from fleet.devices.visibility import installation_condition, line_devices_condition
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
from registry.models import Artifact, ModelLine
from registry.names import VariantName, names_of_artifacts

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
        name: of the variant that was measured; None of an artifact that no variant of the line has.
        standing: what each device stands with, the revoked ones left out.
        latency: over the devices' own headline p50.
        fleet: over all inferences of all runs that count.
        peak_memory: over the devices; a limit is kept by the highest.
    """

    series: BenchmarkSeries
    name: VariantName | None
    standing: Sequence[Stood]
    latency: Spread | None
    fleet: FleetLatency | None
    peak_memory: Spread | None
    energy: Energy | None
    accuracy: Accuracy | None

    @property
    def label(self) -> str:
        """The variant, or the digest."""
        return str(self.name) if self.name else f"{self.series.artifact.sha256[:12]}…"

    @property
    def devices(self) -> int:
        """That stand in it."""
        return len(self.standing)

    @property
    def valid_share(self) -> float:
        """Of all runs, how many were valid without a reservation."""
        return self.series.valid_runs / self.series.runs if self.series.runs else 0.0


def series_figures(model_line: ModelLine, *, actor: Actor) -> list[SeriesFigures]:
    """The figures of every series of the line, in the order of variants. Three queries, and as many small rows as devices stand in series.

    Whoever may see only some devices gets the figures of these: their runs are counted, and of the inferences of all runs there is no histogram, for
    it is kept for all devices together.
    """
    series = list(BenchmarkSeries.objects.filter(model_line=model_line).select_related("artifact"))
    visible = line_devices_condition(actor, model=model_line.name)
    if not actor.allows(Scope.READ, model=model_line.name):
        series = _counted_among(series, BenchmarkReport.objects.filter(visible, model_line=model_line))
    standing: defaultdict[int, list[Stood]] = defaultdict(list)
    shown = StandingRun.objects.filter(visible, series__in=[one.pk for one in series], device__revoked_at=None)
    rows = shown.values_list(*_STOOD)
    for series_id, *figures in rows.iterator(chunk_size=5000):
        standing[series_id].append(Stood(*figures))
    names = names_of_artifacts({one.artifact_id for one in series})
    made = [_figures(one, names.get((model_line.pk, one.artifact_id)), standing[one.pk]) for one in series]
    return sorted(made, key=lambda one: (one.name.variant_id if one.name else 0, one.label, one.series.key))


def _counted_among(series: Sequence[BenchmarkSeries], reports: QuerySet[BenchmarkReport]) -> list[BenchmarkSeries]:
    """The series that the reports belong to, as if these were all: not to be saved."""
    counts: defaultdict[int, dict[str, int]] = defaultdict(dict)
    for pk, validity, runs in reports.order_by().values_list("series", "validity").annotate(Count("pk")):
        counts[pk][validity] = runs
    counted = [one for one in series if one.pk in counts]
    for one in counted:
        one.runs = sum(counts[one.pk].values())
        one.valid_runs = counts[one.pk].get(BenchmarkReport.Validity.VALID, 0)
        one.invalid_runs = counts[one.pk].get(BenchmarkReport.Validity.INVALID, 0)
        one.latency_histogram = None
    return counted


def _figures(series: BenchmarkSeries, name: VariantName | None, standing: Sequence[Stood]) -> SeriesFigures:
    return SeriesFigures(
        series=series,
        name=name,
        standing=standing,
        latency=spread_of(one.p50_latency_ns for one in standing),
        fleet=fleet_latency(series.latency_histogram),
        peak_memory=spread_of(one.peak_memory_bytes for one in standing),
        energy=energy_of(standing),
        accuracy=accuracy_of(standing),
    )


def reports_matching(
    *, actor: Actor, model: str | None = None, device: UUID | None = None, validity: str | None = None
) -> QuerySet[BenchmarkReport]:
    """Reports that the actor may see, newest first; a page of them is completed by `with_names`."""
    reports = BenchmarkReport.objects.filter(installation_condition(actor)).order_by("-received_at", "pk")
    if model is not None:
        # By the line's id, which the index begins with; a name that there is not has no reports.
        reports = reports.filter(model_line__in=list(ModelLine.objects.filter(name=model).values_list("pk", flat=True)))
    if device is not None:
        reports = reports.filter(device=device)
    return reports if validity is None else reports.filter(validity=validity)


def with_names(reports: Sequence[BenchmarkReport]) -> Sequence[BenchmarkReport]:
    """The reports of a page with their device, model line, model and series. Four queries.

    Not by joins, with which SQLite begins at the smallest table and sorts every report there is; nor by `prefetch_related`, whose condition is one
    expression for each of a thousand devices, which is deeper than SQLite goes.
    """
    devices = Device.objects.only("name").in_bulk({report.device_id for report in reports})
    lines = ModelLine.objects.only("name").in_bulk({report.model_line_id for report in reports})
    artifacts = Artifact.objects.only("sha256").in_bulk({report.artifact_id for report in reports})
    series = BenchmarkSeries.objects.defer("latency_histogram").in_bulk({report.series_id for report in reports})
    for report in reports:
        report.device, report.model_line = devices[report.device_id], lines[report.model_line_id]
        report.artifact, report.series = artifacts[report.artifact_id], series[report.series_id]
    return reports


def get_report(run_id: UUID, *, actor: Actor) -> BenchmarkReport:
    """The report of this run.

    Raises:
        NotFound: there is none that the actor may see.
    """
    visible = BenchmarkReport.objects.filter(installation_condition(actor))
    report = visible.select_related("device", "model_line", "artifact", "series").filter(pk=run_id).first()
    if report is None:
        raise NotFound(f"there is no report of a run {run_id}")
    return report
