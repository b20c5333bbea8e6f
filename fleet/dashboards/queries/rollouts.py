"""How far rollouts are."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Count, F

from fleet.devices.models import Installation
from fleet.rollouts.models import Attempt, Rollout

Outcome = Installation.Outcome


@dataclass(frozen=True, slots=True)
class RolloutProgress:
    """Installations of a rollout by where they are.

    Attributes:
        there: held the target before the rollout began.
        open: have begun an attempt and not ended it.
        waiting: have not begun.
    """

    rollout: Rollout
    there: int
    succeeded: int
    open: int
    waiting: int
    failed: int
    rolled_back: int

    @property
    def cohort(self) -> int:
        """All installations of the rollout."""
        return self.there + self.succeeded + self.open + self.waiting + self.failed + self.rolled_back

    @property
    def done(self) -> int:
        """Installations that run the target."""
        return self.there + self.succeeded

    @property
    def parts(self) -> list[tuple[str, str, int]]:
        """For the bar of shares."""
        return [
            ("good", "succeeded", self.succeeded),
            ("there", "already there", self.there),
            ("open", "under way", self.open),
            ("waiting", "waiting", self.waiting),
            ("warn", "rolled back", self.rolled_back),
            ("bad", "failed", self.failed),
        ]


def progress_of(rollouts: Iterable[Rollout]) -> list[RolloutProgress]:
    """The progress of each rollout, in three queries for all of them."""
    rollouts = list(rollouts)
    ids = [rollout.pk for rollout in rollouts]
    standing = Installation.objects.filter(rollout__in=ids, active=True, device__revoked_at=None).order_by()
    attempts = Attempt.objects.filter(rollout__in=ids).order_by()
    under_way = attempts.filter(
        state=Attempt.State.OPEN, installation__outcome=Outcome.PENDING, installation__rollout=F("rollout")
    )
    # Installations that a later rollout took over no longer stand under this one; their attempts say how they ended here.
    left = attempts.exclude(state=Attempt.State.OPEN).exclude(installation__rollout=F("rollout"))
    counts = [
        _counts(standing.values_list("rollout_id", "outcome").annotate(Count("id"))),
        _counts(under_way.values_list("rollout_id", "state").annotate(Count("installation", distinct=True))),
        _counts(left.values_list("rollout_id", "state").annotate(Count("installation", distinct=True))),
    ]
    return [_progress(rollout, *(count[rollout.pk] for count in counts)) for rollout in rollouts]


def _counts(rows: Iterable[tuple[UUID | None, str, int]]) -> defaultdict[UUID, dict[str, int]]:
    counted: defaultdict[UUID, dict[str, int]] = defaultdict(dict)
    for rollout_id, state, number in rows:
        if rollout_id is not None:
            counted[rollout_id][state] = number
    return counted


def _progress(
    rollout: Rollout, standing: Mapping[str, int], under_way: Mapping[str, int], left: Mapping[str, int]
) -> RolloutProgress:
    opened = under_way.get(Attempt.State.OPEN, 0)
    return RolloutProgress(
        rollout=rollout,
        there=standing.get(Outcome.THERE, 0),
        succeeded=standing.get(Outcome.SUCCEEDED, 0) + left.get(Attempt.State.SUCCEEDED, 0),
        open=opened,
        waiting=standing.get(Outcome.PENDING, 0) - opened,
        failed=standing.get(Outcome.FAILED, 0) + left.get(Attempt.State.FAILED, 0),
        rolled_back=standing.get(Outcome.ROLLED_BACK, 0) + left.get(Attempt.State.ROLLED_BACK, 0),
    )
