"""When a rollout has nothing left to wait for, it finishes."""

from collections.abc import Iterable
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from access.actors import SYSTEM
from fleet.rollouts.models import CohortMember, Rollout
from fleet.rollouts.telling import tell_state_change


def pending_members() -> QuerySet[CohortMember]:
    """Who has not closed. A revoked device, or one that dropped the model line, will never close and is not waited for."""
    return CohortMember.objects.filter(
        outcome=CohortMember.Outcome.PENDING, installation__active=True, installation__device__revoked_at=None
    )


def finish_completed(rollout_ids: Iterable[UUID]) -> None:
    """Finish those of the rollouts that run and have nothing pending.

    Call it after the transaction that closed a member has committed: of two that close at once, neither sees the other's row before, and both
    would leave the rollout running. The UPDATE is conditional, so it finishes once.
    """
    pending = pending_members().filter(rollout=OuterRef("pk"))
    for rollout_id in sorted(set(rollout_ids)):
        if pending_members().filter(rollout_id=rollout_id).exists():
            continue  # a read, so that the many closes before the last one take no write lock
        with transaction.atomic():
            complete = Rollout.objects.filter(~Exists(pending), pk=rollout_id, state=Rollout.State.RUNNING)
            if complete.update(state=Rollout.State.FINISHED, closed_at=timezone.now()):
                finished = Rollout.objects.select_related("group", "target__version__model_line").get(pk=rollout_id)
                before = Rollout.State.RUNNING
                tell_state_change(actor=SYSTEM, rollout=finished, action="finish_rollout", before=before)


def finish_all_completed() -> None:
    """Finish every running rollout that has nothing pending, e.g. because its last device was revoked."""
    finish_completed(Rollout.objects.filter(state=Rollout.State.RUNNING).values_list("pk", flat=True))
