"""Taking down benchmark reports, each once."""

import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import transaction

from access.errors import TYPE_PREFIX
from benchmarks.errors import ReportInvalid
from benchmarks.schema import validate
from fleet.devices.models import Device
from fleet.errors import AttemptForeign, EventInvalid, EventRefused
from fleet.measurements.models import BenchmarkReport
from registry.models import Artifact, ModelLine

log = logging.getLogger(__name__)
MAX_REPORT_BYTES = 256 * 1024
RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MAX_STORED_INTEGER = 2**63 - 1


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


def record_reports(*, device: Device, reports: Sequence[ReportMessage]) -> RecordedReports:
    """Take down the reports of one delivery; those that can never be accepted are refused one by one."""
    accepted, repeated = 0, 0
    refused: list[ReportRefusal] = []
    rows: list[BenchmarkReport] = []
    known = _known(reports)
    for message in reports:  # before the transaction: checking against the schema takes milliseconds each
        try:
            rows.append(_row(device, message, known))
        except EventRefused as error:
            refused.append(_refusal(message.report.get("run_id"), error))
    with transaction.atomic():
        Device.objects.select_for_update(no_key=True).get(pk=device.pk)
        for row in rows:
            try:
                fresh = _insert(row)
            except EventRefused as error:
                refused.append(_refusal(str(row.run_id), error))
            else:
                accepted, repeated = accepted + fresh, repeated + (not fresh)
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


def _row(
    device: Device, message: ReportMessage, known: tuple[Mapping[str, ModelLine], Mapping[str, Artifact]]
) -> BenchmarkReport:
    """The row of a report.

    Raises:
        EventInvalid: it does not keep the schema, or names what this server does not have.
    """
    line, artifact = known[0].get(message.model), known[1].get(message.sha256)
    if line is None or artifact is None:
        missing = f"model line {message.model!r}" if line is None else f"model {message.sha256}"
        raise EventInvalid(f"this server has no {missing}")
    report = _checked(message.report)
    if report["artifact"]["model_sha256"] != message.sha256:
        raise EventInvalid(f"the report is about {report['artifact']['model_sha256']}, not about {message.sha256}")
    return BenchmarkReport(
        run_id=UUID(report["run_id"]),
        device=device,
        model_line=line,
        artifact=artifact,
        attempt_id=message.attempt,
        device_class=report["environment"]["device_class"] or device.device_class,
        schema=report["schema"],
        validity=report["validity"]["state"],
        report=report,
        **_figures(report),
    )


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


def _figures(report: Mapping[str, Any]) -> dict[str, Any]:
    """The figures that are queried, out of their places in the report; None where it has none."""
    memory, energy, accuracy = report["memory"], report["energy"], report["accuracy"]
    peaks = [memory[phase] for phase in ("load_peak", "run_peak") if memory[phase] is not None]
    figures: dict[str, Any] = {
        "p50_latency_ns": report["latency"]["p50"],
        "peak_memory_bytes": max(peaks, default=None),
        "energy_j": energy["median"] if energy else None,
        "accuracy": accuracy["value"] if accuracy else None,
    }
    for name in ("p50_latency_ns", "peak_memory_bytes"):
        if figures[name] is not None and figures[name] > MAX_STORED_INTEGER:
            raise EventInvalid(f"{name} is beyond every device: {figures[name]}")
    return figures


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
