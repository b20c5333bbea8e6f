"""Reads that join or add up: what a poll is answered from, how far a rollout is."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, Min, Q, QuerySet

from access.actors import Actor
from access.errors import NotFound
from fleet.devices.models import Device, Installation
from fleet.errors import SayFirst
from fleet.rollouts.completion import pending_members
from fleet.rollouts.engine import Progress
from fleet.rollouts.models import CohortMember, Rollout
from fleet.rollouts.poll import File, InstallationState, Target, Tolerances
from fleet.rollouts.visibility import rollout_condition
from registry.deltas.queries import WayTable, way_tables
from registry.models import Artifact, ModelLine, Variant, Version

Outcome = CohortMember.Outcome


def rollouts_detailed() -> QuerySet[Rollout]:
    """Rollouts with everything that an answer shows of them."""
    return Rollout.objects.select_related(
        "group",
        "created_by",
        "target__artifact",
        "target__version__model_line",
        "target__version__contract",
        "target__version__sample_set",
    )


def rollouts_matching(*, actor: Actor, model: str | None = None, state: str | None = None) -> QuerySet[Rollout]:
    """Rollouts that the actor may see, newest first, of a model line by name or in a state."""
    rollouts = rollouts_detailed().filter(rollout_condition(actor))
    if model is not None:
        rollouts = rollouts.filter(target__version__model_line__name=model)
    return rollouts if state is None else rollouts.filter(state=state)


def get_rollout(rollout_id: UUID, *, actor: Actor) -> Rollout:
    """The rollout of this id.

    Raises:
        NotFound: there is none that the actor may see.
    """
    rollout = rollouts_detailed().filter(rollout_condition(actor), pk=rollout_id).first()
    if rollout is None:
        raise NotFound(f"there is no rollout {rollout_id}")
    return rollout


def progress_of(rollout: Rollout) -> Progress:
    """How many installations of the cohort stand where, by outcome; devices that were revoked before they closed are left out."""
    gone = Q(installation__active=False) | Q(installation__device__revoked_at__isnull=False)
    members = rollout.members.exclude(gone, outcome=Outcome.PENDING)
    counts = dict(members.order_by().values_list("outcome").annotate(Count("pk")))
    return Progress(
        pending=counts.get(Outcome.PENDING, 0),
        there=counts.get(Outcome.THERE, 0),
        succeeded=counts.get(Outcome.SUCCEEDED, 0),
        failed=counts.get(Outcome.FAILED, 0),
        rolled_back=counts.get(Outcome.ROLLED_BACK, 0),
    )


@dataclass(frozen=True, slots=True)
class Wait:
    """Devices of a cohort that a local rule of theirs keeps from the target; `since` is of the one that waits longest."""

    rule: str
    devices: int
    since: datetime


def waits_of(rollout: Rollout) -> list[Wait]:
    """For which local rules how many devices of the cohort wait, the most frequent rule first."""
    waiting = pending_members().filter(rollout=rollout, installation__rollout=rollout)
    rows = (
        waiting.exclude(installation__refused_rule="")
        .order_by()
        .values_list("installation__refused_rule")
        .annotate(devices=Count("pk"), since=Min("installation__refused_since"))
        .order_by("-devices", "installation__refused_rule")
    )
    return [Wait(*row) for row in rows]


# --- Polls ----------------------------------------------------------------------------------------------------------


def check_heard(device: Device) -> None:
    """Let only a device pass that the server knows enough of to answer.

    Raises:
        SayFirst: it was never heard, or the registry got a model line that it named before that was there.
    """
    new_models = device.unknown_models and ModelLine.objects.filter(name__in=device.unknown_models).exists()
    if not device.said_sha256 or new_models:
        raise SayFirst("send POST /poll with what the device holds")


# Of seven joined rows only what an answer is made of: the rest has JSON columns to decode, in each poll of each device.
_POLLED_FIELDS = (
    "device_id",
    "current_sha256",
    "previous_sha256",
    "model_line__name",
    "model_line__targets_version",
    "rollout__state",
    "rollout__wait_for_delta_s",
    "target__name",
    "target__tolerances",
    "target__is_live",
    "target__artifact__sha256",
    "target__artifact__size_bytes",
    "target__version__version",
    "target__version__state",
    "target__version__contract__sha256",
    "target__version__contract__size_bytes",
    "target__version__sample_set__sha256",
    "target__version__sample_set__size_bytes",
)


def poll_state(device: Device) -> list[InstallationState]:
    """What the server knows of each installation of the device: one query, and one more if there is something to fetch."""
    installations = list(
        device.installations.filter(active=True)
        .select_related(
            "model_line",
            "rollout",
            "target__artifact",
            "target__version__contract",
            "target__version__sample_set",
        )
        .only(*_POLLED_FIELDS)
        .order_by()
    )
    held = {sha256 for row in installations for sha256 in (row.current_sha256, row.previous_sha256) if sha256}
    fetching = [row.target.artifact for row in installations if row.target and _has_to_fetch(row, row.target)]
    tables = way_tables(fetching) if fetching else {}
    return [_installation_state(row, tables, held, device.patch_formats) for row in installations]


def _has_to_fetch(row: Installation, target: Variant) -> bool:
    return target.artifact.sha256 not in {row.current_sha256, row.previous_sha256}


def _installation_state(
    row: Installation, tables: Mapping[str, WayTable], held: Collection[str], formats: Collection[int]
) -> InstallationState:
    target, rollout, line = row.target, row.rollout, row.model_line
    if target is None:
        return InstallationState(line.name, targets_version=line.targets_version)
    table = tables.get(target.artifact.sha256) if _has_to_fetch(row, target) else None
    return InstallationState(
        model=line.name,
        target=_target(target),
        rollout=str(rollout.pk) if rollout else None,
        on_hold=not _is_installable(target) or _is_paused(rollout),
        ways=table.ways(held, formats) if table else [],
        delta_pending=table.is_pending(held, formats) if table else False,
        wait_for_delta_s=rollout.wait_for_delta_s if rollout else 0,
        targets_version=line.targets_version,
    )


def _is_installable(target: Variant) -> bool:
    return target.is_live and target.version.state == Version.State.PUBLISHED


def _is_paused(rollout: Rollout | None) -> bool:
    return rollout is not None and rollout.state == Rollout.State.PAUSED


def _target(variant: Variant) -> Target:
    version = variant.version
    return Target(
        version=version.version,
        variant=variant.name,
        model=_file(variant.artifact),
        contract=_file(version.contract),
        sample_set=_file(version.sample_set) if version.sample_set else None,
        tolerances=_tolerances(variant.tolerances),
    )


def _file(artifact: Artifact) -> File:
    return File(artifact.sha256, artifact.size_bytes)


def _tolerances(given: Mapping[str, Any]) -> Tolerances:
    return Tolerances(given.get("atol"), given.get("rtol"), given.get("min_agreement"))
