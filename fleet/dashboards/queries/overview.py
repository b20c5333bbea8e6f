"""The fleet in one glance."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Count, Q
from django.utils import timezone

from access.actors import Actor
from fleet.dashboards.queries.field import LineInField, lines_in_field
from fleet.dashboards.queries.rollouts import RolloutProgress, progress_of
from fleet.dashboards.queries.spending import Spending, spending_since
from fleet.devices.visibility import visible_devices
from fleet.rollouts.engine import LIVE
from fleet.rollouts.models import Attempt
from fleet.rollouts.queries import rollouts_detailed
from fleet.rollouts.visibility import rollout_condition, visible_attempts
from registry.visibility import visible_lines

TROUBLE_WINDOW = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class DeviceHealth:
    """How many devices there are and how many are heard.

    Attributes:
        enrolled: without the revoked ones.
        seen: heard within `seen_within_s`.
        never: enrolled and never heard.
    """

    enrolled: int
    seen: int
    never: int
    seen_within_s: int

    @property
    def silent(self) -> int:
        """Heard once, but not lately."""
        return self.enrolled - self.seen - self.never


@dataclass(frozen=True, slots=True)
class Trouble:
    """A reason for which attempts ended badly, and how often within `TROUBLE_WINDOW`."""

    state: str
    reason: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Overview:
    """What the first page shows."""

    health: DeviceHealth
    running: list[RolloutProgress]
    month: datetime
    spending: Spending
    lines: list[LineInField]
    troubles: list[Trouble]


def seen_within_s() -> int:
    """Until when a device counts as heard lately: three polls missed, and the batch in which sightings are written."""
    return int(3 * settings.SMALLFLEET_POLL_AFTER_S + settings.SMALLFLEET_LAST_SEEN_FLUSH_S)


def overview(actor: Actor) -> Overview:
    """Everything on the first page that the actor may see, in a number of queries that does not depend on the fleet's size."""
    now = timezone.now()
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    running = rollouts_detailed().filter(rollout_condition(actor), state__in=LIVE)
    return Overview(
        health=device_health(now, actor=actor),
        running=progress_of(running),
        month=month,
        spending=spending_since(month, actor=actor),
        lines=lines_in_field(visible_lines(actor), actor=actor),
        troubles=troubles(now - TROUBLE_WINDOW, actor=actor),
    )


def device_health(now: datetime, *, actor: Actor) -> DeviceHealth:
    """Counts of the devices that the actor may see, by when they were heard."""
    window_s = seen_within_s()
    counts = (
        visible_devices(actor)
        .filter(revoked_at=None)
        .aggregate(
            enrolled=Count("id"),
            seen=Count("id", filter=Q(last_seen_at__gte=now - timedelta(seconds=window_s))),
            never=Count("id", filter=Q(last_seen_at=None)),
        )
    )
    return DeviceHealth(**counts, seen_within_s=window_s)


def troubles(since: datetime, *, actor: Actor) -> list[Trouble]:
    """Why attempts that the actor may see ended badly since then, the most frequent reasons first."""
    rows = (
        visible_attempts(actor)
        .filter(state__in=[Attempt.State.FAILED, Attempt.State.ROLLED_BACK], closed_at__gte=since)
        .order_by()
        .values_list("state", "reason")
        .annotate(attempts=Count("id"))
        .order_by("-attempts", "reason")[:5]
    )
    return [Trouble(state, reason, attempts) for state, reason, attempts in rows]
