"""What devices did: attempts with their events and bytes, and their newest reports."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Case, IntegerField, QuerySet, Value, When

from access.actors import Actor
from fleet.dashboards.queries.measurements import failed_rules
from fleet.devices.models import Device, Installation
from fleet.devices.visibility import installation_condition
from fleet.ledger.models import LedgerEntry
from fleet.measurements.models import BenchmarkReport
from fleet.rollouts.messages import EventKind
from fleet.rollouts.models import Attempt, Event, Rollout
from fleet.rollouts.visibility import visible_attempts
from registry.models import ModelLine, Variant
from registry.names import name_in, names_of_artifacts

REPORTS = 20
_ATTEMPT_NAMES = (
    "target",
    "installation__model_line",
    *(f"{asker}__target__version__model_line" for asker in ("installation", "rollout")),
)


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


def attempts_of(device: Device, *, actor: Actor) -> QuerySet[Attempt]:
    """The device's attempts that the actor may see, newest first."""
    attempts = visible_attempts(actor).filter(installation__device=device)
    return attempts.select_related(*_ATTEMPT_NAMES).order_by("-opened_at", "-pk")


def attempts_under(rollout: Rollout, *, actor: Actor) -> QuerySet[Attempt]:
    """The rollout's attempts that the actor may see, with their devices: bad ends first, then the open ones, the newest of each first."""
    order = Case(
        When(state=Attempt.State.FAILED, then=Value(0)),
        When(state=Attempt.State.ROLLED_BACK, then=Value(1)),
        When(state=Attempt.State.OPEN, then=Value(2)),
        default=Value(3),
        output_field=IntegerField(),
    )
    return (
        visible_attempts(actor)
        .filter(rollout=rollout)
        .select_related("installation__device")
        .order_by(order, "-opened_at", "-pk")
    )


def shadow_runs_of(attempts: Sequence[Attempt]) -> list[tuple[Attempt, Event | None]]:
    """Each attempt with its latest `shadowed` event, if it has one. One query."""
    events = Event.objects.filter(attempt__in=[attempt.pk for attempt in attempts], kind=EventKind.SHADOWED)
    latest = {event.attempt_id: event for event in events.order_by("attempt", "seq")}
    return [(attempt, latest.get(attempt.pk)) for attempt in attempts]


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
        wanted = (attempt.rollout or attempt.installation).target
        name = name_in(names, line.pk, attempt.target_id, wanted=wanted)
        target = f"{line.name} → {name or attempt.target.sha256[:12] + '…'}"
        # A delivery may name another device's attempt; such bytes belong to nobody's attempt.
        own = [entry for entry in ledger[attempt.pk] if entry.device_id == attempt.installation.device_id]
        rows.append(AttemptRow(attempt, target, events[attempt.pk], own))
    return rows


def newest_reports(
    *, actor: Actor, device: Device | None = None, model_line: ModelLine | None = None, validity: str | None = None
) -> list[ReportRow]:
    """The newest reports of a device or a model line, of those that the actor may see. Three queries."""
    seen = BenchmarkReport.objects.filter(installation_condition(actor))
    reports = seen.select_related("device", "artifact", "model_line").order_by("-received_at", "-pk")
    if device is not None:
        reports = reports.filter(device=device)
    if model_line is not None:
        reports = reports.filter(model_line=model_line)
    if validity is not None:
        reports = reports.filter(validity=validity)
    shown = list(reports[:REPORTS])
    names = names_of_artifacts({report.artifact_id for report in shown})
    wanted = _targets({report.device_id for report in shown})
    rows = []
    for report in shown:
        asked = wanted.get((report.device_id, report.model_line_id))
        name = name_in(names, report.model_line_id, report.artifact_id, wanted=asked)
        label = f"{report.model_line.name} {name or report.artifact.sha256[:12] + '…'}"
        rows.append(ReportRow(report, label, failed_rules(report.report)))
    return rows


def _targets(device_ids: Collection[UUID]) -> dict[tuple[UUID, int], Variant]:
    """What these devices should run, by device and model line."""
    installations = Installation.objects.filter(device_id__in=device_ids, target__isnull=False)
    return {
        (each.device_id, each.model_line_id): each.target
        for each in installations.select_related("target__version__model_line")
        if each.target is not None
    }
