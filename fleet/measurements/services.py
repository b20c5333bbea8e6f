"""Taking down benchmark reports, each once, and what follows from one for its series.

All reports of one device wait for each other on its row; reports of several devices in one series wait for each other on the series' row, because
histograms are added up in Python. Series are locked in the order of their ids, so that two deliveries cannot wait for each other in a circle.
"""

import json
import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from operator import attrgetter
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F

from access.errors import TYPE_PREFIX
from benchmarks.errors import ReportInvalid
from benchmarks.histogram import SCHEME, merge
from benchmarks.schema import validate
from fleet.devices.models import Device
from fleet.errors import AttemptForeign, EventInvalid, EventRefused
from fleet.measurements.models import BenchmarkReport, BenchmarkSeries, StandingRun
from fleet.measurements.reading import Conditions, Figures, conditions_of, figures_of
from registry.models import Artifact, ModelLine

log = logging.getLogger(__name__)
MAX_REPORT_BYTES = 256 * 1024
RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
Validity = BenchmarkReport.Validity
_STANDS_ONCE = attrgetter("model_line_id", "artifact_id", "configuration", "providers", "power_mode")


@dataclass(frozen=True, slots=True)
class ReportMessage:
    """One report as the agent sent it; `report` is not looked at yet."""

    model: str
    sha256: str
    attempt: UUID | None
    report: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ReportRefusal:
    """A report that will never be accepted."""

    run_id: str | None
    type: str
    detail: str


@dataclass(frozen=True, slots=True)
class RecordedReports:
    """What became of a delivery."""

    accepted: int = 0
    repeated: int = 0
    refused: tuple[ReportRefusal, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class _Run:
    """A report that may be inserted: its row without a series, and where it belongs."""

    row: BenchmarkReport
    conditions: Conditions
    figures: Figures


def record_reports(*, device: Device, reports: Sequence[ReportMessage]) -> RecordedReports:
    """Take down the reports of one delivery; those that can never be accepted are refused one by one."""
    accepted, repeated = 0, 0
    refused: list[ReportRefusal] = []
    runs: list[_Run] = []
    fresh: list[_Run] = []
    known = _known(reports)
    for message in reports:  # before the transaction: checking against the schema takes milliseconds each
        try:
            runs.append(_run(device, message, known))
        except EventRefused as error:
            refused.append(_refusal(message.report.get("run_id"), error))
    with transaction.atomic():
        Device.objects.select_for_update(no_key=True).get(pk=device.pk)
        for run in _in_series(runs):
            try:
                is_fresh = _insert(run.row)
            except EventRefused as error:
                refused.append(_refusal(str(run.row.run_id), error))
            else:
                accepted, repeated = accepted + is_fresh, repeated + (not is_fresh)
                fresh += [run] * is_fresh
        _add_to_series(fresh)
    return RecordedReports(accepted, repeated, tuple(refused))


def _refusal(run_id: object, error: EventRefused) -> ReportRefusal:
    named = run_id if isinstance(run_id, str) and RUN_ID.fullmatch(run_id) else None
    log.info("report_refused", extra={"run_id": named, "type": error.slug})
    return ReportRefusal(named, TYPE_PREFIX + error.slug, error.detail)


def _known(reports: Iterable[ReportMessage]) -> tuple[dict[str, ModelLine], dict[str, Artifact]]:
    lines = ModelLine.objects.filter(name__in={message.model for message in reports})
    digests = {message.sha256 for message in reports}
    models = Artifact.objects.filter(sha256__in=digests, kind=Artifact.Kind.MODEL)
    return {line.name: line for line in lines}, {artifact.sha256: artifact for artifact in models}


def _run(device: Device, message: ReportMessage, known: tuple[Mapping[str, ModelLine], Mapping[str, Artifact]]) -> _Run:
    """The run that a report tells of.

    Raises:
        EventInvalid: it does not keep the schema, or names what this server does not have, or a line that the device may not install.
    """
    line = known[0].get(message.model) if device.may_read_line(message.model) else None
    artifact = known[1].get(message.sha256)
    if line is None or artifact is None:
        missing = f"model line {message.model!r}" if line is None else f"model {message.sha256}"
        raise EventInvalid(f"this server has no {missing}")
    report = _checked(message.report)
    if report["artifact"]["model_sha256"] != message.sha256:
        raise EventInvalid(f"the report is about {report['artifact']['model_sha256']}, not about {message.sha256}")
    conditions, figures = conditions_of(report, device_class=device.device_class), figures_of(report)
    row = BenchmarkReport(
        run_id=UUID(report["run_id"]),
        device=device,
        model_line=line,
        artifact=artifact,
        attempt_id=message.attempt,
        device_class=conditions.device_class,
        schema=report["schema"],
        validity=report["validity"]["state"],
        p50_latency_ns=figures.p50_latency_ns,
        peak_memory_bytes=figures.peak_memory_bytes,
        energy_j=figures.energy_j,
        accuracy=figures.accuracy,
        report=report,
    )
    return _Run(row, conditions, figures)


def _checked(report: Mapping[str, Any]) -> dict[str, Any]:
    """The report, if it keeps the schema, is not too large and can be stored.

    Raises:
        EventInvalid: it is not so.
    """
    text = json.dumps(report, ensure_ascii=False)
    try:
        size_bytes = len(text.encode())
    except UnicodeEncodeError as error:
        raise EventInvalid("the report has text that is no Unicode") from error
    if size_bytes > MAX_REPORT_BYTES:
        raise EventInvalid(f"the report has {size_bytes} bytes; at most {MAX_REPORT_BYTES} are taken")
    if "\\u0000" in text:
        raise EventInvalid("the report has a NUL character, which no JSON column holds")
    try:
        validate(report)
    except ReportInvalid as error:
        raise EventInvalid(f"not a bench-report/1: {error}") from error
    return dict(report)


def _in_series(runs: Sequence[_Run]) -> Sequence[_Run]:
    """The runs, each with its series, which is made where it is the first of its kind."""
    # One order in all processes: two that make the same new series cannot lock each other out.
    for run in sorted(runs, key=lambda run: (run.row.model_line_id, run.row.artifact_id, str(run.conditions))):
        run.row.series, _ = BenchmarkSeries.objects.get_or_create(
            model_line=run.row.model_line, artifact=run.row.artifact, **asdict(run.conditions)
        )
    return runs


def _add_to_series(runs: Sequence[_Run]) -> None:
    """Count the new runs, add their latencies up, and let their device stand with the newest."""
    by_series: defaultdict[int, list[_Run]] = defaultdict(list)
    for run in runs:
        by_series[run.row.series_id].append(run)
    locked = BenchmarkSeries.objects.select_for_update(no_key=True).filter(pk__in=by_series).order_by("pk")
    for series in locked:
        of_series = by_series[series.pk]
        counting = [run for run in of_series if run.row.validity != Validity.INVALID]
        series.runs = F("runs") + len(of_series)
        series.invalid_runs = F("invalid_runs") + len(of_series) - len(counting)
        series.valid_runs = F("valid_runs") + sum(run.row.validity == Validity.VALID for run in counting)
        series.latency_histogram = _merged(series.latency_histogram, counting)
        series.save(update_fields=["runs", "invalid_runs", "valid_runs", "latency_histogram"])
    _let_stand(run for run in runs if run.row.validity != Validity.INVALID)


def _merged(held: Mapping[str, Any] | None, runs: Iterable[_Run]) -> Mapping[str, Any] | None:
    """What the series holds with the histograms of the runs; those of the first rulers have other buckets and cannot be added."""
    found = [run.row.report["latency"]["hist"] for run in runs]
    parts = [held, *(histogram for histogram in found if histogram["scheme"] == SCHEME)]
    present = [part for part in parts if part is not None]
    return merge(present) if present else None


def _let_stand(runs: Iterable[_Run]) -> None:
    """Let the device stand with the newest of the runs, once for each of what it may be run with.

    Runtime, threads and class are how the device is now: it stands no more where it was measured before they changed.
    """
    for run in {_STANDS_ONCE(run.row.series): run for run in runs}.values():
        series, figures = run.row.series, asdict(run.figures)
        StandingRun.objects.filter(
            device=run.row.device,
            series__model_line=series.model_line_id,
            series__artifact=series.artifact_id,
            series__configuration=series.configuration,
            series__providers=series.providers,
            series__power_mode=series.power_mode,
        ).exclude(series=series).delete()
        StandingRun.objects.bulk_create(
            [StandingRun(series=series, device=run.row.device, run=run.row, **figures)],
            update_conflicts=True,
            unique_fields=["series", "device"],
            update_fields=["run", *figures],
        )


def _insert(row: BenchmarkReport) -> bool:
    """Insert the row; False when it was there.

    Raises:
        AttemptForeign: it was there, from another device.
    """
    if _owner(row.run_id) is None:
        # Another device may take this id in this moment: then its row is the one that stays.
        BenchmarkReport.objects.bulk_create([row], ignore_conflicts=True)
        fresh = True
    else:
        fresh = False
    if _owner(row.run_id) != row.device_id:
        raise AttemptForeign(f"the run {row.run_id} was reported by another device")
    return fresh


def _owner(run_id: UUID) -> UUID | None:
    return BenchmarkReport.objects.filter(pk=run_id).values_list("device", flat=True).first()
