"""What devices did: attempts with their events and bytes, and their newest reports."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Case, IntegerField, QuerySet, Value, When

from fleet.dashboards.queries.measurements import failed_rules
from fleet.dashboards.queries.names import names_of_artifacts
from fleet.devices.models import Device
from fleet.ledger.models import LedgerEntry
from fleet.measurements.models import BenchmarkReport
from fleet.rollouts.models import Attempt, Event, Rollout
from registry.models import ModelLine

REPORTS = 20


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """An attempt with what happened in it."""

    attempt: Attempt
    target: str
    events: list[Event]
    ledger: list[LedgerEntry]


@dataclass(frozen=True, slots=True)
class ReportRow:
    """A report, what it measured, and the rules that it did not keep."""

    report: BenchmarkReport
    label: str
    failed: list[str]


def attempts_of(device: Device) -> QuerySet[Attempt]:
    """The device's attempts, newest first."""
    attempts = Attempt.objects.filter(installation__device=device)
    return attempts.select_related("installation__model_line", "target").order_by("-opened_at", "-pk")


def attempts_under(rollout: Rollout) -> QuerySet[Attempt]:
    """The rollout's attempts with their devices: bad ends first, then the open ones, the newest of each first."""
    order = Case(
        When(state=Attempt.State.FAILED, then=Value(0)),
        When(state=Attempt.State.ROLLED_BACK, then=Value(1)),
        When(state=Attempt.State.OPEN, then=Value(2)),
        default=Value(3),
        output_field=IntegerField(),
    )
    return rollout.attempts.select_related("installation__device").order_by(order, "-opened_at", "-pk")


def attempt_rows(attempts: Sequence[Attempt]) -> list[AttemptRow]:
    """The attempts with their events and bytes. Three queries."""
    ids = [attempt.pk for attempt in attempts]
    events: defaultdict[UUID, list[Event]] = defaultdict(list)
    for event in Event.objects.filter(attempt__in=ids).order_by("attempt", "seq"):
        events[event.attempt_id].append(event)
    ledger: defaultdict[UUID, list[LedgerEntry]] = defaultdict(list)
    for entry in LedgerEntry.objects.filter(attempt_id__in=ids).order_by("id"):
        ledger[entry.attempt_id].append(entry)
    names = names_of_artifacts({attempt.target_id for attempt in attempts})
    rows = []
    for attempt in attempts:
        line = attempt.installation.model_line
        name = names.get((line.pk, attempt.target_id))
        target = f"{line.name} → {name or attempt.target.sha256[:12] + '…'}"
        # A delivery may name another device's attempt; such bytes belong to nobody's attempt.
        own = [entry for entry in ledger[attempt.pk] if entry.device_id == attempt.installation.device_id]
        rows.append(AttemptRow(attempt, target, events[attempt.pk], own))
    return rows


def newest_reports(
    *, device: Device | None = None, model_line: ModelLine | None = None, validity: str | None = None
) -> list[ReportRow]:
    """The newest reports of a device or a model line. Two queries."""
    reports = BenchmarkReport.objects.select_related("device", "artifact", "model_line").order_by("-received_at", "-pk")
    if device is not None:
        reports = reports.filter(device=device)
    if model_line is not None:
        reports = reports.filter(model_line=model_line)
    if validity is not None:
        reports = reports.filter(validity=validity)
    shown = list(reports[:REPORTS])
    names = names_of_artifacts({report.artifact_id for report in shown})
    rows = []
    for report in shown:
        name = names.get((report.model_line_id, report.artifact_id))
        label = f"{report.model_line.name} {name or report.artifact.sha256[:12] + '…'}"
        rows.append(ReportRow(report, label, failed_rules(report.report)))
    return rows
