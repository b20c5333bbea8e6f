"""Reads that join or add up: what a poll is answered from, how far a rollout is, what the fleet holds."""

from collections.abc import Collection, Mapping
from typing import Any

from django.db.models import Count, Q, QuerySet

from fleet.devices.models import Device, Installation
from fleet.rollouts.engine import Progress
from fleet.rollouts.models import CohortMember, Rollout
from fleet.rollouts.poll import File, InstallationState, Target, Tolerances, WayOffer
from registry.deltas.queries import ways_to
from registry.models import Artifact, ModelLine, Patch, Variant, Version

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


# --- Polls ----------------------------------------------------------------------------------------------------------


def has_new_models(device: Device) -> bool:
    """Whether the registry got a model line that the device named before it was there, so that it must be asked again."""
    return bool(device.unknown_models) and ModelLine.objects.filter(name__in=device.unknown_models).exists()


def poll_state(device: Device) -> list[InstallationState]:
    """What the server knows of each installation of the device.

    One query, and two more for each installation that has something to fetch: an idle device costs one.
    """
    installations = list(
        device.installations.filter(active=True).select_related(
            "model_line",
            "rollout",
            "target__artifact",
            "target__version__contract",
            "target__version__sample_set",
        )
    )
    held = {sha256 for row in installations for sha256 in (row.current_sha256, row.previous_sha256) if sha256}
    return [_installation_state(row, held, device.patch_formats) for row in installations]


def _installation_state(row: Installation, held: Collection[str], formats: Collection[int]) -> InstallationState:
    if row.target is None:
        return InstallationState(row.model_line.name, rollout=None)
    ways, pending = _ways(row, row.target.artifact, held, formats)
    paused = row.rollout is not None and row.rollout.state == Rollout.State.PAUSED
    return InstallationState(
        model=row.model_line.name,
        target=_target(row.target),
        rollout=str(row.rollout_id) if row.rollout_id else None,
        on_hold=paused or row.target.version.state != Version.State.PUBLISHED,
        ways=ways,
        delta_pending=pending,
        wait_for_delta_s=row.rollout.wait_for_delta_s if row.rollout else 0,
    )


def _ways(
    row: Installation, target: Artifact, held: Collection[str], formats: Collection[int]
) -> tuple[list[WayOffer], bool]:
    """The ways of an installation that has something to fetch, and whether a better one is being built."""
    if target.sha256 in {row.current_sha256, row.previous_sha256}:
        return [], False
    offers = [
        WayOffer(str(way.way), way.sha256, way.size_bytes, way.base, way.format)
        for way in ways_to(target=target, held=held, formats=formats)
    ]
    has_delta = any(offer.way == "delta" for offer in offers)
    return offers, is_better_way_pending(target=target, held=held, formats=formats, has_delta=has_delta)


def is_better_way_pending(
    *, target: Artifact, held: Collection[str], formats: Collection[int], has_delta: bool
) -> bool:
    """Whether a delta from what is held is being built, or `packed` for a device that has no delta."""
    wanted = Q(base__sha256__in=held) if has_delta else Q(base__sha256__in=held) | Q(base=None)
    unbuilt = (Patch.State.WANTED, Patch.State.BUILDING)
    return Patch.objects.filter(wanted, target=target, patch_format__in=formats, state__in=unbuilt).exists()


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


# --- What the fleet holds -------------------------------------------------------------------------------------------


def held_variants(model_line: ModelLine | None = None) -> dict[int, set[int]]:
    """By model line, the ids of the artifacts that its installations hold as current or previous."""
    installations = Installation.objects.filter(active=True, device__revoked_at=None).order_by()
    if model_line is not None:
        installations = installations.filter(model_line=model_line)
    held: dict[int, set[int]] = {}
    for field in ("current", "previous"):
        for line_id, artifact_id in installations.exclude(**{field: None}).values_list("model_line", field).distinct():
            held.setdefault(line_id, set()).add(artifact_id)
    return held
