"""How far rollouts are, and what they cost against what was expected."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from django.db.models import Count, Exists, OuterRef, Q

from access.actors import Actor
from fleet.ledger.models import LedgerEntry
from fleet.ledger.queries import RolloutLedger, cost_of_variant, ledger_of_rollout
from fleet.rollouts.models import Attempt, CohortMember, Rollout
from fleet.rollouts.queries import Wait, waits_of

Outcome = CohortMember.Outcome


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
            ("waiting", "not reached" if self.rollout.state == Rollout.State.ABORTED else "waiting", self.waiting),
            ("warn", "rolled back", self.rolled_back),
            ("bad", "failed", self.failed),
        ]


def progress_of(rollouts: Iterable[Rollout]) -> list[RolloutProgress]:
    """The progress of each rollout, in two queries for all of them. Devices revoked before they closed are left out."""
    rollouts = list(rollouts)
    members = CohortMember.objects.filter(rollout__in=[rollout.pk for rollout in rollouts]).order_by()
    gone = Q(installation__device__revoked_at__isnull=False) | Q(installation__active=False)
    members = members.exclude(gone, outcome=Outcome.PENDING)
    under_way = Attempt.objects.filter(
        installation=OuterRef("installation"), rollout=OuterRef("rollout"), state=Attempt.State.OPEN
    )
    opened = members.filter(Exists(under_way), outcome=Outcome.PENDING)
    closed_by = _counts(members.values_list("rollout_id", "outcome").annotate(Count("id")))
    opened_by = _counts(opened.values_list("rollout_id", "outcome").annotate(Count("id")))
    return [
        _progress(rollout, closed_by[rollout.pk], opened_by[rollout.pk].get(Outcome.PENDING, 0)) for rollout in rollouts
    ]


def _counts(rows: Iterable[tuple[UUID, str, int]]) -> defaultdict[UUID, dict[str, int]]:
    counted: defaultdict[UUID, dict[str, int]] = defaultdict(dict)
    for rollout_id, outcome, number in rows:
        counted[rollout_id][outcome] = number
    return counted


def _progress(rollout: Rollout, by_outcome: Mapping[str, int], opened: int) -> RolloutProgress:
    return RolloutProgress(
        rollout=rollout,
        there=by_outcome.get(Outcome.THERE, 0),
        succeeded=by_outcome.get(Outcome.SUCCEEDED, 0),
        open=opened,
        waiting=by_outcome.get(Outcome.PENDING, 0) - opened,
        failed=by_outcome.get(Outcome.FAILED, 0),
        rolled_back=by_outcome.get(Outcome.ROLLED_BACK, 0),
    )


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a rollout is expected to cost.

    Attributes:
        is_live: computed now, for a draft; else it is what was kept when the rollout started.
    """

    bytes_total: int
    money_total: Decimal
    bytes_by_way: Mapping[str, int]
    is_upper_bound: bool
    is_live: bool


@dataclass(frozen=True, slots=True)
class WayComparison:
    """Bytes of one way: expected, as the agents counted, and as this server counted (None: others carried them)."""

    way: str
    forecast_bytes: int | None
    agent_bytes: int
    server_bytes: int | None


@dataclass(frozen=True, slots=True)
class RolloutPage:
    """What the page of a rollout shows besides its attempts."""

    progress: RolloutProgress
    waits: list[Wait]
    forecast: Forecast | None
    ledger: RolloutLedger

    @property
    def comparison(self) -> list[WayComparison]:
        """Every way that was expected or used, patches first."""
        expected = self.forecast.bytes_by_way if self.forecast else {}
        used = {row.way: row for row in self.ledger.by_way}
        order = [*LedgerEntry.Way.values, *sorted({*expected, *used} - set(LedgerEntry.Way.values))]
        return [
            WayComparison(
                way=way or "not said yet",
                forecast_bytes=expected.get(way, 0) if self.forecast else None,
                agent_bytes=used[way].agent_bytes if way in used else 0,
                server_bytes=used[way].server_bytes if way in used else 0,
            )
            for way in order
            if way in expected or way in used
        ]


def rollout_page(rollout: Rollout, *, actor: Actor, device_limit: int) -> RolloutPage:
    """The rollout's progress, forecast and ledger; bytes of the `device_limit` devices that transferred most, of those that the actor may see."""
    (progress,) = progress_of([rollout])
    ledger = ledger_of_rollout(rollout, actor=actor, device_limit=device_limit)
    return RolloutPage(progress, waits_of(rollout), _forecast(rollout), ledger)


def _forecast(rollout: Rollout) -> Forecast | None:
    kept = rollout.forecast
    if kept is not None:
        return Forecast(
            bytes_total=kept["bytes_total"],
            money_total=Decimal(kept["money_total"]),
            bytes_by_way=kept["bytes_by_way"],
            is_upper_bound=kept["is_upper_bound"],
            is_live=False,
        )
    if rollout.state != Rollout.State.DRAFT:
        return None
    cost = cost_of_variant(variant=rollout.target, group=rollout.group, fixed=rollout.by_fixed_attributes)
    return Forecast(cost.bytes_total, cost.money_total, cost.bytes_by_way, cost.is_upper_bound, is_live=True)
