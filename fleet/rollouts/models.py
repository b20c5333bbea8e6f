"""Rollouts, the attempts that installations make under them, and the events that devices send about those."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q

from fleet.devices.models import Group, Installation
from registry.models import Artifact, Variant


class Rollout(models.Model):
    """The plan to bring a cohort to one target variant, all at once."""

    class State(models.TextChoices):
        DRAFT = "draft"
        RUNNING = "running"
        PAUSED = "paused"
        FINISHED = "finished", "every installation of the cohort closed"
        ABORTED = "aborted"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    target = models.ForeignKey(Variant, on_delete=models.PROTECT, related_name="rollouts")
    group = models.ForeignKey(
        Group, on_delete=models.PROTECT, null=True, blank=True, related_name="rollouts", help_text="none: every device"
    )
    by_fixed_attributes = models.BooleanField(
        default=False, help_text="who is in the group is asked of fixed attributes alone, not of what devices say"
    )
    state = models.CharField(max_length=16, choices=State.choices, default=State.DRAFT)
    wait_for_delta_s = models.PositiveIntegerField(
        default=600, help_text="how long an agent may wait for a delta that is being built"
    )
    roll_back = models.BooleanField(
        default=False, help_text="aborted, and whoever succeeds steps back, also a late one"
    )
    forecast = models.JSONField(null=True, help_text="what it was expected to cost when it was started")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state="draft") | Q(started_at__isnull=False) | Q(state="aborted"),
                name="rollout_running_has_start",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["finished", "aborted"]) | Q(closed_at__isnull=False),
                name="rollout_closed_has_time",
            ),
            models.CheckConstraint(
                condition=Q(roll_back=False) | Q(state="aborted"), name="rollout_rolls_back_when_aborted"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.target} ({self.state})"


class CohortMember(models.Model):
    """One installation that a rollout reached, and how that ended; stays when a later rollout takes the installation."""

    class Outcome(models.TextChoices):
        PENDING = "", "not closed yet"
        THERE = "there", "held the target already"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        ROLLED_BACK = "rolled-back"

    rollout = models.ForeignKey(Rollout, on_delete=models.CASCADE, related_name="members")
    installation = models.ForeignKey(Installation, on_delete=models.CASCADE, related_name="memberships")
    outcome = models.CharField(
        max_length=16, choices=Outcome.choices, blank=True, help_text="of the latest attempt that closed"
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["rollout", "installation"], name="cohort_member_unique")]
        # Progress is a count by (rollout, outcome); "is anything pending" must not read the closed ones.
        indexes = [models.Index(fields=["rollout", "outcome"], name="cohort_member_by_outcome")]

    def __str__(self) -> str:
        return f"{self.rollout_id}:{self.installation_id} {self.outcome or 'pending'}"


class Attempt(models.Model):
    """One installation's try at one target; its id is the agent's."""

    class State(models.TextChoices):
        OPEN = "open"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        ROLLED_BACK = "rolled-back"

    id = models.UUIDField(primary_key=True, help_text="made by the agent")
    installation = models.ForeignKey(Installation, on_delete=models.CASCADE, related_name="attempts")
    rollout = models.ForeignKey(Rollout, on_delete=models.PROTECT, null=True, blank=True, related_name="attempts")
    target = models.ForeignKey(Artifact, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=16, choices=State.choices, default=State.OPEN)
    way = models.CharField(max_length=16, blank=True, help_text="the way that reached the target")
    reason = models.CharField(max_length=500, blank=True)
    opened_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-opened_at"]
        indexes = [models.Index(fields=["rollout", "state"], name="attempt_by_rollout_state")]
        constraints = [
            models.CheckConstraint(
                condition=Q(state="open") ^ Q(closed_at__isnull=False), name="attempt_closed_has_time"
            )
        ]

    def __str__(self) -> str:
        return str(self.id)


class Event(models.Model):
    """A fact in an attempt, accepted once however often it is sent."""

    attempt = models.ForeignKey(Attempt, on_delete=models.CASCADE, related_name="events")
    seq = models.PositiveIntegerField()
    kind = models.CharField(max_length=32)
    at = models.DateTimeField(help_text="by the device's clock")
    received_at = models.DateTimeField(auto_now_add=True)
    detail = models.JSONField(default=dict)

    class Meta:
        ordering = ["attempt", "seq"]
        constraints = [models.UniqueConstraint(fields=["attempt", "seq"], name="event_unique")]

    def __str__(self) -> str:
        return f"{self.attempt_id}#{self.seq} {self.kind}"
