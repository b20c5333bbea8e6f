"""Devices, what they hold, how they are grouped, what their bytes cost, and how they enroll."""

import uuid
from decimal import Decimal

from django.db import models
from django.db.models import Q

from access.actors import Actor
from registry.models import Artifact, ModelLine, Variant, validate_name

# An attribute's key begins with a letter: PostgreSQL would read a key of digits as an index into a list.
ATTRIBUTE_KEY_PATTERN = r"^[A-Za-z][A-Za-z0-9._-]{0,62}$"
MAX_ATTRIBUTES = 64
MAX_ATTRIBUTE_LENGTH = 200


class LinkClass(models.Model):
    """What a byte costs a device."""

    name = models.CharField(max_length=64, unique=True, validators=[validate_name])
    price_per_mb = models.DecimalField(
        max_digits=12, decimal_places=6, default=Decimal(0), help_text="per 10^6 bytes, in SMALLFLEET_CURRENCY"
    )
    rate_limit_bytes_per_s = models.PositiveBigIntegerField(null=True, blank=True)
    metered = models.BooleanField(default=False)

    class Meta:
        ordering = ["name"]
        constraints = [models.CheckConstraint(condition=Q(price_per_mb__gte=0), name="link_class_price_not_negative")]

    def __str__(self) -> str:
        return self.name


class Group(models.Model):
    """A saved query over attributes; who is in it is decided when it is asked."""

    name = models.CharField(max_length=64, unique=True, validators=[validate_name])
    query = models.CharField(
        max_length=1000, blank=True, help_text="terms joined by commas: site=berlin, board!=pi4, camera, !camera"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class EnrollmentToken(models.Model):
    """Lets `uses` devices enroll until `expires_at`; only the SHA-256 of the token is kept."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=100)
    token_sha256 = models.CharField(max_length=64, unique=True)
    uses = models.PositiveIntegerField(default=1)
    used = models.PositiveIntegerField(default=0)
    link_class = models.ForeignKey(LinkClass, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    attributes = models.JSONField(
        default=dict, blank=True, help_text="set on the device at enrollment; win over what it says"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(condition=Q(used__lte=models.F("uses")), name="enrollment_token_not_overused")
        ]

    def __str__(self) -> str:
        return self.name


class Device(models.Model):
    """An enrolled agent."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=100, db_index=True)
    device_class = models.CharField(max_length=64, blank=True, db_index=True)
    attributes = models.JSONField(default=dict, help_text="facts it reported, under the ones its enrollment fixed")
    fixed_attributes = models.JSONField(default=dict, help_text="from the enrollment token")
    link_class = models.ForeignKey(LinkClass, on_delete=models.PROTECT, null=True, blank=True, related_name="devices")
    credential_sha256 = models.CharField(max_length=64, unique=True)
    agent_version = models.CharField(max_length=40, blank=True)
    patch_formats = models.JSONField(default=list, help_text="the patch formats its agent reads")
    said_sha256 = models.CharField(
        max_length=64, blank=True, help_text="digest of what it last said in POST /poll; empty: to be asked"
    )
    unknown_models = models.JSONField(default=list, help_text="model lines it named that the registry did not have")
    enrolled_at = models.DateTimeField(auto_now_add=True)
    last_seen_at = models.DateTimeField(null=True, blank=True, help_text="flushed in batches, so up to a minute late")
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["name", "id"]

    def __str__(self) -> str:
        return self.name

    @property
    def is_authenticated(self) -> bool:
        """What DRF asks of whatever authenticated."""
        return True

    @property
    def is_active(self) -> bool:
        """Whether its credential is still good."""
        return self.revoked_at is None

    def as_actor(self) -> Actor:
        """The device as the actor of its requests."""
        return Actor("device", str(self.id), self.name, frozenset())


class Installation(models.Model):
    """One model line on one device: where it should be, is, and was."""

    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="installations")
    model_line = models.ForeignKey(ModelLine, on_delete=models.PROTECT, related_name="installations")
    target = models.ForeignKey(Variant, on_delete=models.PROTECT, null=True, blank=True, related_name="targeted_by")
    rollout = models.ForeignKey(
        "rollouts.Rollout",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="installations",
        help_text="who set the target",
    )
    active = models.BooleanField(default=True, help_text="the device still names this model line")
    # What the device says it holds. Digests too, because it may hold what this registry does not know.
    current_sha256 = models.CharField(max_length=64, blank=True)
    previous_sha256 = models.CharField(max_length=64, blank=True)
    current = models.ForeignKey(Artifact, on_delete=models.PROTECT, null=True, blank=True, related_name="held_by")
    previous = models.ForeignKey(Artifact, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    refused_rule = models.CharField(
        max_length=64, blank=True, help_text="the local rule that keeps the device from what the server wants"
    )
    refused_detail = models.CharField(max_length=200, blank=True)
    refused_since = models.DateTimeField(null=True, blank=True, help_text="when it was first heard of this rule")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["device", "model_line"]
        constraints = [
            models.UniqueConstraint(fields=["device", "model_line"], name="installation_unique"),
            models.CheckConstraint(
                condition=Q(refused_rule="") ^ Q(refused_since__isnull=False), name="installation_refused_has_time"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.device_id}:{self.model_line_id}"
