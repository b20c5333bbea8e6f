"""Asking for patches. Building them is `building`'s business, in a worker."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from registry.deltas import jobs
from registry.deltas.building import MAX_TRIES, REMADE
from registry.deltas.formats import BUILT_FORMAT, less_than
from registry.deltas.planning import Pair
from registry.models import Artifact, Patch

LOST_JOB = timedelta(hours=1)
"""A patch that waits longer than this since its job was made gets another one: the queue may have lost it."""


def request_patches(*, target: Artifact, bases: Iterable[Artifact | None], effort: str = "") -> list[Patch]:
    """Wish for a delta from each base and for a packed file; returns all of those, wished for earlier or now.

    With `effort`, those from `bases` (None: the packed one) that are not built yet are made with it, and ready ones that were made with
    less are made again. Patches that were found useless or failed stay so. Asking again, and from several processes at once, is harmless.
    """
    named = set(bases)
    deltas = {base.pk: base for base in named if base and base.pk != target.pk and base.kind == Artifact.Kind.MODEL}
    # Always in one order: two that insert the same rows in two orders would wait for each other on PostgreSQL.
    ordered = sorted(deltas.values(), key=lambda base: base.pk)
    wishes = [Patch(base=base, target=target, patch_format=BUILT_FORMAT) for base in (None, *ordered)]
    with transaction.atomic():
        Patch.objects.bulk_create(wishes, ignore_conflicts=True)
        asked = Patch.objects.filter(Q(base=None) | Q(base__in=deltas), target=target, patch_format=BUILT_FORMAT)
        asked.filter(state=Patch.State.RETIRED).update(
            state=Patch.State.WANTED, wanted_effort="", tries=0, enqueued_at=None
        )
        if effort:
            _want_effort(asked if None in named else asked.exclude(base=None), effort)
        patches = list(asked.select_related("base", "target", "artifact").order_by("id"))
        _enqueue(Patch.objects.filter(pk__in=[patch.pk for patch in patches]))
    return patches


def retire_deltas(*, needed: Collection[Pair], built_before: datetime) -> int:
    """Give up the bytes of the ready deltas that are none of `needed`; returns how many.

    They are offered no more, and `collect_orphans` removes their files; a request makes one anew.
    """
    deltas = Patch.objects.filter(state=Patch.State.READY, base__isnull=False, built_at__lt=built_before)
    rows = deltas.exclude(REMADE).values_list("pk", "base__sha256", "target__sha256")
    idle = [pk for pk, base, target in rows if Pair(base, target) not in needed]
    return deltas.filter(pk__in=idle).update(state=Patch.State.RETIRED, artifact=None) if idle else 0


def _want_effort(patches: QuerySet[Patch], effort: str) -> None:
    """Have the patches made with this effort; one that is being made with another is made again when it is ready."""
    others = patches.exclude(wanted_effort=effort)
    others.filter(state__in=[Patch.State.WANTED, Patch.State.BUILDING]).update(wanted_effort=effort)
    again = others.filter(state=Patch.State.READY, effort__in=less_than(effort))
    again.update(wanted_effort=effort, tries=0, enqueued_at=None, leased_until=None)


def resume_builds() -> int:
    """Give a new job to every patch whose job or worker was lost, and fail those that took their worker down too often.

    Returns how many jobs were made. To be called now and then.
    """
    gone = Patch.objects.filter(Q(leased_until__lt=timezone.now()) | Q(state=Patch.State.BUILDING, leased_until=None))
    ended = {"failure": "its worker ended without a word, each time", "leased_until": None}
    hopeless = gone.filter(tries__gte=MAX_TRIES)
    hopeless.filter(state=Patch.State.BUILDING).update(state=Patch.State.FAILED, built_at=timezone.now(), **ended)
    hopeless.filter(REMADE).update(wanted_effort="", **ended)
    with transaction.atomic():
        return _enqueue(Patch.objects.filter(_UNCLAIMED | Q(pk__in=gone.values("pk"))))


_UNCLAIMED = Q(state=Patch.State.WANTED) | Q(REMADE, leased_until=None)


def _enqueue(patches: QuerySet[Patch]) -> int:
    """Make jobs for those that have none, or had theirs long ago; a job made twice finds its patch claimed."""
    now = timezone.now()
    jobless = Q(enqueued_at=None) | Q(enqueued_at__lt=now - LOST_JOB)
    # The job of a worker that is gone was made before its claim, and went with it.
    jobless |= Q(leased_until__lt=now, enqueued_at__lte=F("claimed_at"))
    unbuilt = Q(state__in=[Patch.State.WANTED, Patch.State.BUILDING]) | REMADE
    made = 0
    for patch_id in patches.filter(jobless, unbuilt).order_by("id").values_list("pk", flat=True):
        if Patch.objects.filter(jobless, pk=patch_id).update(enqueued_at=now):
            jobs.build_patch.enqueue(patch_id=patch_id)
            made += 1
    return made
