"""Asking for patches. Building them is `building`'s business, in a worker."""

from collections.abc import Iterable
from datetime import timedelta

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from registry.deltas import jobs
from registry.deltas.building import MAX_TRIES, STALE_CLAIM
from registry.deltas.formats import BUILT_FORMAT
from registry.models import Artifact, Patch

LOST_JOB = timedelta(hours=1)
"""A patch that waits longer than this since its job was made gets another one: the queue may have lost it."""


def request_patches(*, target: Artifact, bases: Iterable[Artifact]) -> list[Patch]:
    """Wish for a delta from each base and for a packed file; returns all of those, wished for earlier or now.

    Patches that were found useless or failed stay so. Asking again, and from several processes at once, is harmless.
    """
    bases = {base.pk: base for base in bases if base.pk != target.pk and base.kind == Artifact.Kind.MODEL}.values()
    # Always in one order: two that insert the same rows in two orders would wait for each other on PostgreSQL.
    ordered = sorted(bases, key=lambda base: base.pk)
    wishes = [Patch(base=base, target=target, patch_format=BUILT_FORMAT) for base in (None, *ordered)]
    with transaction.atomic():
        Patch.objects.bulk_create(wishes, ignore_conflicts=True)
        patches = list(
            Patch.objects.select_related("base", "target", "artifact")
            .filter(Q(base=None) | Q(base__in=bases), target=target, patch_format=BUILT_FORMAT)
            .order_by("id")
        )
        _enqueue(Patch.objects.filter(pk__in=[patch.pk for patch in patches]))
    return patches


def resume_builds() -> int:
    """Give a new job to every patch whose job or worker was lost, and fail those that took their worker down too often.

    Returns how many jobs were made. To be called now and then.
    """
    stale = Patch.objects.filter(state=Patch.State.BUILDING, claimed_at__lt=timezone.now() - STALE_CLAIM)
    stale.filter(tries__gte=MAX_TRIES).update(
        state=Patch.State.FAILED, failure="its worker ended without a word, each time", built_at=timezone.now()
    )
    with transaction.atomic():
        return _enqueue(Patch.objects.filter(Q(state=Patch.State.WANTED) | Q(pk__in=stale.values("pk"))))


def _enqueue(patches: QuerySet[Patch]) -> int:
    """Make jobs for those that have none, or had theirs long ago; a job made twice finds its patch claimed."""
    now = timezone.now()
    jobless = Q(enqueued_at=None) | Q(enqueued_at__lt=now - LOST_JOB)
    open_states = [Patch.State.WANTED, Patch.State.BUILDING]
    made = 0
    for patch_id in patches.filter(jobless, state__in=open_states).order_by("id").values_list("pk", flat=True):
        if Patch.objects.filter(jobless, pk=patch_id).update(enqueued_at=now):
            jobs.build_patch.enqueue(patch_id=patch_id)
            made += 1
    return made
