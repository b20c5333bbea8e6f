"""Webhooks, the outbox of their events, and what came of each delivery.

An event is written in the transaction of the change it tells of, with one delivery for each webhook that wants it; the worker delivers.
"""

import uuid

from django.db import models


class Kind(models.TextChoices):
    """What a webhook may ask to be told."""

    VERSION_PUBLISHED = "version_published", "a version is published"
    VERSION_YANKED = "version_yanked", "a version is yanked"
    ROLLOUT_STATE_CHANGED = "rollout_state_changed", "a rollout starts, pauses, goes on, is aborted or finishes"
    DEVICE_ENROLLED = "device_enrolled", "a device enrolled"
    DEVICE_PENDING = "device_pending", "a device waits for approval"
    TARGETS_EXPIRING = "targets_expiring", "signed targets of a model line expire within a week"


PING = "ping"
"""The kind of an event that is only for trying a webhook; none asks for it."""


class Webhook(models.Model):
    """An address that is told of events. Its secret is derived from the server's key and `secret_nonce`, and stands nowhere."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    url = models.CharField(
        max_length=500, help_text="may hold a secret of the receiver's: shown to admins only, never recorded"
    )
    kinds = models.JSONField(help_text="a list of kinds of events")
    enabled = models.BooleanField(default=True)
    secret_nonce = models.CharField(max_length=32)
    previous_nonce = models.CharField(max_length=32, blank=True, default="", help_text="of the secret before")
    previous_until = models.DateTimeField(null=True, blank=True, help_text="until then deliveries are signed with both")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["created_at", "id"]

    def __str__(self) -> str:
        return str(self.id)


class WebhookEvent(models.Model):
    """What happened, as it is sent: the same bytes to everybody and at every try."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=40)
    created_at = models.DateTimeField(db_index=True)
    body = models.TextField(help_text="the JSON that is sent")
    once = models.CharField(max_length=60, null=True, unique=True, help_text="of what is told once and not again")  # noqa: DJ001 - none is not a name

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


class Delivery(models.Model):
    """One event for one webhook."""

    class State(models.TextChoices):
        WAITING = "waiting"
        DELIVERED = "delivered"
        FAILED = "failed", "given up"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries")
    event = models.ForeignKey(WebhookEvent, on_delete=models.CASCADE, related_name="deliveries")
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    created_at = models.DateTimeField(auto_now_add=True)
    attempts = models.PositiveIntegerField(default=0)
    failures = models.PositiveIntegerField(
        default=0, help_text="since it was first sent, or asked for again: the wait grows with it"
    )
    due_at = models.DateTimeField(help_text="when to try next; while a worker tries, when another may take over")
    give_up_at = models.DateTimeField()

    class Meta:
        ordering = ["-created_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["webhook", "event"], name="delivery_once_for_each_webhook"),
            models.CheckConstraint(
                condition=models.Q(state__in=["waiting", "delivered", "failed"]), name="delivery_state_known"
            ),
        ]
        indexes = [
            models.Index(fields=["webhook", "due_at"], name="delivery_due", condition=models.Q(state="waiting")),
            models.Index(fields=["webhook", "-created_at"], name="delivery_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.id} {self.state}"


class DeliveryAttempt(models.Model):
    """One try: what the receiver said, or why there is no answer."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="tries")
    at = models.DateTimeField()
    status = models.PositiveSmallIntegerField(null=True, help_text="of HTTP; null without an answer")
    latency_ns = models.BigIntegerField()
    answer = models.TextField(help_text="its first bytes")
    error = models.CharField(max_length=300, help_text="why it does not count as delivered; empty if it does")

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.delivery_id} {self.status or self.error}"
