"""Taking down the events of a device, each once however often and in whatever order they come.

All messages of one device wait for each other on its row, so what is read here under that lock stays true until the commit, and two deliveries of the
same event cannot both be new. The unique constraints on attempts and events hold the same against any other writer.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from access.errors import TYPE_PREFIX
from fleet.devices.models import Device, Installation
from fleet.errors import AttemptForeign, EventInvalid, EventRefused
from fleet.ledger.services import Transfer, add_agent_transfers
from fleet.rollouts.completion import finish_completed
from fleet.rollouts.engine import FINAL_STATES
from fleet.rollouts.joining import step_back
from fleet.rollouts.messages import EventKind, EventMessage, Recorded, Refusal
from fleet.rollouts.models import Attempt, CohortMember, Event, Rollout
from registry.models import Artifact, ModelLine

log = logging.getLogger(__name__)
Outcome = CohortMember.Outcome
MAX_REASON = 500  # characters, as the column is wide


@dataclass(slots=True)
class _Known:
    """What the database has of the things that a batch names."""

    lines: Mapping[str, ModelLine]
    artifacts: Mapping[str, Artifact]
    rollouts: Mapping[UUID, Rollout]
    installations: dict[int, Installation]
    attempts: dict[UUID, Attempt]
    events: set[tuple[UUID, int]]
    closed: set[UUID] = field(default_factory=set)


def record_events(*, device: Device, events: Sequence[EventMessage]) -> Recorded:
    """Take down the events of one delivery; those that can never be accepted are refused one by one.

    A final event closes its attempt if it is open; the first to come wins. `transferred` adds to the ledger in the transaction that inserts it.
    """
    # Sorted, so that within a delivery an attempt's facts are taken in the order in which they happened.
    ordered = sorted(events, key=lambda event: (event.attempt, event.seq))
    accepted, repeated = 0, 0
    refused: list[Refusal] = []
    with transaction.atomic():
        device = Device.objects.select_for_update(no_key=True).get(pk=device.pk)
        known = _known(device, ordered)
        for event in ordered:
            try:
                fresh = _record(device, event, known)
            except EventRefused as error:
                refused.append(_refusal(event, error))
            else:
                accepted, repeated = accepted + fresh, repeated + (not fresh)
    finish_completed(known.closed)
    return Recorded(accepted, repeated, tuple(refused))


def _refusal(event: EventMessage, error: EventRefused) -> Refusal:
    log.info("event_refused", extra={"attempt": str(event.attempt), "seq": event.seq, "type": error.slug})
    return Refusal(str(event.attempt), event.seq, TYPE_PREFIX + error.slug, error.detail)


def _known(device: Device, events: Sequence[EventMessage]) -> _Known:
    attempt_ids = {event.attempt for event in events}
    # Installations are locked in the order in which a starting rollout locks them, so neither can wait for the other in a circle.
    installations = device.installations.select_for_update(no_key=True).order_by("pk")
    rollouts = Rollout.objects.filter(pk__in={event.rollout for event in events if event.rollout})
    return _Known(
        lines={line.name: line for line in ModelLine.objects.filter(name__in={event.model for event in events})},
        artifacts={
            artifact.sha256: artifact
            for artifact in Artifact.objects.filter(sha256__in=_digests(events), kind=Artifact.Kind.MODEL)
        },
        rollouts={rollout.pk: rollout for rollout in rollouts.select_related("target__version")},
        installations={row.model_line_id: row for row in installations},
        attempts={attempt.pk: attempt for attempt in _attempts().filter(pk__in=attempt_ids)},
        events=set(Event.objects.filter(attempt_id__in=attempt_ids).values_list("attempt_id", "seq")),
    )


def _attempts() -> QuerySet[Attempt]:
    return Attempt.objects.select_related("installation", "target", "rollout__target")


def _digests(events: Iterable[EventMessage]) -> set[str]:
    """The digests of models that the events name: targets, and what was active before or after."""
    named = {event.target for event in events}
    for event in events:
        named |= {sha256 for key in ("previous", "to") if isinstance(sha256 := event.detail.get(key), str)}
    return named


def _record(device: Device, event: EventMessage, known: _Known) -> bool:
    """Take down one event; False when it was there."""
    attempt = known.attempts.get(event.attempt) or _open_attempt(device, event, known)
    if attempt.installation.device_id != device.pk:
        raise AttemptForeign(f"the attempt {event.attempt} was made by another device; make a new attempt")
    if attempt.target.sha256 != event.target:
        raise EventInvalid(f"the attempt {event.attempt} is for {attempt.target.sha256}, not for {event.target}")
    if (event.attempt, event.seq) in known.events:
        return False
    Event.objects.create(attempt=attempt, seq=event.seq, kind=event.kind.value, at=event.at, detail=dict(event.detail))
    known.events.add((event.attempt, event.seq))
    _apply(device, attempt, event, known)
    return True


def _open_attempt(device: Device, event: EventMessage, known: _Known) -> Attempt:
    """The attempt's row, made by whichever of its events comes first.

    Raises:
        EventInvalid: it names a model line, target or rollout that is not there, or that do not go together; or a line that it may not install.
    """
    line = known.lines.get(event.model) if device.may_read_line(event.model) else None
    target = known.artifacts.get(event.target)
    if line is None or target is None:
        missing = f"model line {event.model!r}" if line is None else f"model {event.target}"
        raise EventInvalid(f"this server has no {missing}")
    rollout = known.rollouts.get(event.rollout) if event.rollout else None
    if event.rollout and (rollout is None or rollout.target.version.model_line_id != line.pk):
        raise EventInvalid(f"this server has no rollout {event.rollout} of {event.model}")
    installation = known.installations.get(line.pk)
    if installation is None:  # it becomes active when the device says that it has it
        installation, _ = Installation.objects.get_or_create(device=device, model_line=line, defaults={"active": False})
        known.installations[line.pk] = installation
    # Another device may have taken this id a moment ago: then its row is the one that counts.
    Attempt.objects.bulk_create(
        [Attempt(pk=event.attempt, installation=installation, rollout=rollout, target=target)], ignore_conflicts=True
    )
    attempt = _attempts().get(pk=event.attempt)
    known.attempts[event.attempt] = attempt
    return attempt


def _apply(device: Device, attempt: Attempt, event: EventMessage, known: _Known) -> None:
    """What a new event changes besides being there."""
    detail = event.detail
    match event.kind:
        case EventKind.STARTED:
            Attempt.objects.filter(pk=attempt.pk, way="").update(way=detail["way"])
        case EventKind.APPLIED:
            Attempt.objects.filter(pk=attempt.pk).update(way=detail["way"])
        case EventKind.TRANSFERRED:
            add_agent_transfers(device=device, attempt_id=attempt.pk, transfers=[_transfer(detail)])
        case EventKind.ACTIVATED:
            _close(attempt, event, known)
            _take_current(device, attempt, known, current=event.target, previous=detail.get("previous") or "")
            _step_back_if_aborted(attempt)
        case EventKind.ROLLED_BACK:
            _close(attempt, event, known)
            _take_current(device, attempt, known, current=detail["to"], previous="")
        case EventKind.FAILED:
            _close(attempt, event, known)
        case EventKind.FALLBACK | EventKind.SMOKE_PASSED | EventKind.SHADOWED:
            pass  # facts to read; they change nothing


def _transfer(detail: Mapping[str, Any]) -> Transfer:
    return Transfer(
        artifact_sha256=detail["artifact"],
        way=detail["way"],
        wire_bytes=detail["bytes_received"] + detail["bytes_sent"],
        requests=detail["requests"],
    )


def _close(attempt: Attempt, event: EventMessage, known: _Known) -> None:
    state = FINAL_STATES[event.kind]
    closed = Attempt.objects.filter(pk=attempt.pk, state=Attempt.State.OPEN).update(
        state=state, closed_at=timezone.now(), reason=_reason(event.detail)
    )
    if not closed or attempt.rollout is None:
        return
    # The step back that an aborted rollout orders is an attempt of that rollout at another target.
    stepped_back = attempt.target_id != attempt.rollout.target.artifact_id
    outcome = Outcome.ROLLED_BACK if stepped_back and state == Attempt.State.SUCCEEDED else Outcome(state.value)
    CohortMember.objects.filter(rollout=attempt.rollout, installation=attempt.installation).update(outcome=outcome)
    known.closed.add(attempt.rollout.pk)


def _step_back_if_aborted(attempt: Attempt) -> None:
    """Send a device that succeeded before it could hear of the abort back with the others."""
    if attempt.rollout is not None and attempt.rollout.roll_back:
        step_back(rollout=attempt.rollout, installations=Installation.objects.filter(pk=attempt.installation_id))


def _reason(detail: Mapping[str, Any]) -> str:
    parts = (detail.get("stage"), detail.get("reason"), detail.get("detail"))
    return ": ".join(str(part) for part in parts if part)[:MAX_REASON]


def _take_current(device: Device, attempt: Attempt, known: _Known, *, current: str, previous: str) -> None:
    """Believe what a final event says is active now, until the device says it itself.

    An event may come late, when the device has long moved on: so what it said last is forgotten with it, and it is asked again (409 `say-first`).
    """
    held = Installation.objects.filter(pk=attempt.installation_id).exclude(current_sha256=current)
    changed = held.update(
        current_sha256=current,
        previous_sha256=previous,
        current=known.artifacts.get(current),
        previous=known.artifacts.get(previous),
        updated_at=timezone.now(),
    )
    if changed:
        Device.objects.filter(pk=device.pk).update(said_sha256="")
