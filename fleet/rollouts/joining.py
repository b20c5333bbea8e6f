"""How installations come under a rollout, and leave it: the writes that rollouts and polls share."""

from collections.abc import Collection, Sequence
from uuid import UUID

from django.db.models import Exists, F, OuterRef, QuerySet, Subquery
from django.utils import timezone

from fleet.devices.models import Device, Installation
from fleet.devices.selectors import condition, parse_query
from fleet.rollouts.engine import LIVE
from fleet.rollouts.models import Attempt, CohortMember, Rollout
from registry.models import Variant, Version

Outcome = CohortMember.Outcome
BATCH_SIZE = 2000


def assign_target(*, rollout: Rollout, installations: Sequence[tuple[int, int | None]]) -> None:
    """Bring the installations, ids with what each holds, under the rollout. Who holds the target already is closed at once.

    They come as values, read once: a query over attributes may find others a moment later, and a member without the target would never close.
    """
    members = [
        CohortMember(rollout=rollout, installation_id=pk, outcome=_first_outcome(rollout, current_id))
        for pk, current_id in installations
    ]
    CohortMember.objects.bulk_create(
        members,
        batch_size=BATCH_SIZE,
        update_conflicts=True,  # an installation may leave its device and come back while the rollout runs
        unique_fields=["rollout", "installation"],
        update_fields=["outcome"],
    )
    ids = [pk for pk, _ in installations]
    for start in range(0, len(ids), BATCH_SIZE):
        batch = Installation.objects.filter(pk__in=ids[start : start + BATCH_SIZE])
        batch.update(target=rollout.target, rollout=rollout, updated_at=timezone.now())


def _first_outcome(rollout: Rollout, current_id: int | None) -> CohortMember.Outcome:
    return Outcome.THERE if current_id == rollout.target.artifact_id else Outcome.PENDING


def join_running_rollouts(*, device: Device, model_line_ids: Collection[int]) -> None:
    """Bring the device's new installations under the latest live rollout whose cohort they match."""
    rollouts = (
        Rollout.objects.filter(state__in=LIVE, target__version__model_line_id__in=model_line_ids)
        .select_related("group", "target__version")
        .order_by("-started_at")
    )
    waiting = set(model_line_ids)
    for rollout in rollouts:
        line_id = rollout.target.version.model_line_id
        if line_id in waiting and _matches(device, rollout):
            waiting.discard(line_id)
            coming = device.installations.filter(model_line_id=line_id).values_list("pk", "current")
            assign_target(rollout=rollout, installations=list(coming))


def _matches(device: Device, rollout: Rollout) -> bool:
    if rollout.group is None:
        return True
    in_group = condition(parse_query(rollout.group.query), fixed=rollout.by_fixed_attributes)
    return Device.objects.filter(in_group, pk=device.pk).exists()


def close_arrived(*, device: Device) -> list[UUID]:
    """Close the memberships of installations that hold their target without an attempt, e.g. from a bundle; returns the rollouts to look at.

    One with an open attempt is left: its own events will say how it ended.
    """
    under_way = Attempt.objects.filter(
        installation=OuterRef("installation"), rollout=OuterRef("rollout"), state=Attempt.State.OPEN
    )
    arrived = CohortMember.objects.filter(
        ~Exists(under_way),
        rollout__state__in=LIVE,
        outcome=Outcome.PENDING,
        installation__device=device,
        installation__current=F("rollout__target__artifact"),
    )
    rollouts = dict(arrived.values_list("pk", "rollout"))
    if rollouts:
        CohortMember.objects.filter(pk__in=rollouts, outcome=Outcome.PENDING).update(outcome=Outcome.THERE)
    return list(rollouts.values())


def step_back(*, rollout: Rollout, installations: QuerySet[Installation]) -> int:
    """Send those that succeeded in the rollout and stand under it to their previous variant, where that is published and live; returns how many."""
    previous = Variant.objects.filter(
        is_live=True,
        version__model_line=OuterRef("model_line"),
        version__state=Version.State.PUBLISHED,
        artifact=OuterRef("previous"),
    ).order_by("-version__published_at", "-pk")
    able = installations.filter(
        Exists(previous),
        rollout=rollout,
        memberships__in=rollout.members.filter(outcome=Outcome.SUCCEEDED),
        current=rollout.target.artifact_id,
    )
    return Installation.objects.filter(pk__in=able.order_by().values("pk")).update(
        target=Subquery(previous.values("pk")[:1]), updated_at=timezone.now()
    )
