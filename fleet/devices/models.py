"""Devices, what they hold, how they are grouped, what their bytes cost, and how they enroll."""

import uuid
from decimal import Decimal

from django.db import models
from django.db.models import Q
from django.utils import timezone

from access.actors import Actor
from registry.models import Artifact, ModelLine, Patch, Variant, Version, validate_name, validate_sha256

# An attribute's key begins with a letter: PostgreSQL would read a key of digits as an index into a list.
ATTRIBUTE_KEY_PATTERN = r"^[A-Za-z][A-Za-z0-9._-]{0,62}$"
MAX_ATTRIBUTES = 64
MAX_ATTRIBUTE_LENGTH = 200
MAX_SERIAL_LENGTH = 100
# Of model lines that a token allows; a device installs a few.
MAX_ALLOWED_MODELS = 64


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

    class Mode(models.TextChoices):
        """What a device must bring besides the token."""

        OPEN = "open", "the token is enough"
        SERIALS = "serials", "the token, and a registered serial that no device used yet"
        APPROVAL = "approval", "the token, and an operator's word"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=100)
    token_sha256 = models.CharField(max_length=64, unique=True)
    mode = models.CharField(max_length=16, choices=Mode.choices, default=Mode.OPEN)
    uses = models.PositiveIntegerField(default=1)
    used = models.PositiveIntegerField(default=0)
    allowed_models = models.JSONField(
        default=list, blank=True, help_text="names of the only model lines its devices may install and read; empty: any"
    )
    group = models.ForeignKey(
        Group,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="enrollment_tokens",
        help_text="whose equalities became attributes here when the token was made",
    )
    link_class = models.ForeignKey(LinkClass, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    attributes = models.JSONField(
        default=dict, blank=True, help_text="set on the device at enrollment; win over what it says"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(condition=Q(used__lte=models.F("uses")), name="enrollment_token_not_overused")
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_usable(self) -> bool:
        """Whether another device may enroll with it."""
        return self.revoked_at is None and self.expires_at > timezone.now() and self.used < self.uses


class EnrollmentSerial(models.Model):
    """A serial that a device may enroll with, once, beside the token it stands under."""

    token = models.ForeignKey(EnrollmentToken, on_delete=models.CASCADE, related_name="serials")
    serial = models.CharField(max_length=MAX_SERIAL_LENGTH)
    used_at = models.DateTimeField(null=True, blank=True)
    device = models.ForeignKey("Device", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["serial"]
        constraints = [models.UniqueConstraint(fields=["token", "serial"], name="enrollment_serial_unique")]

    def __str__(self) -> str:
        return self.serial


class Device(models.Model):
    """An enrolled agent."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=100, db_index=True)
    device_class = models.CharField(max_length=64, blank=True, db_index=True)
    attributes = models.JSONField(default=dict, help_text="facts it reported, under the ones its enrollment fixed")
    fixed_attributes = models.JSONField(default=dict, help_text="from the enrollment token")
    link_class = models.ForeignKey(LinkClass, on_delete=models.PROTECT, null=True, blank=True, related_name="devices")
    allowed_models = models.JSONField(
        default=list, help_text="names of the only model lines it may install and read; empty: any"
    )
    serial = models.CharField(max_length=MAX_SERIAL_LENGTH, blank=True, help_text="as it said when it enrolled")
    credential_sha256 = models.CharField(max_length=64, unique=True)
    next_credential_sha256 = models.CharField(  # noqa: DJ001 - unique, and most devices have none
        max_length=64, null=True, unique=True, help_text="takes the place of the other when it is first used"
    )
    credential_made_at = models.DateTimeField(default=timezone.now, help_text="when the credential came into use")
    rotation_asked_at = models.DateTimeField(
        null=True, blank=True, help_text="an operator wants it to make a new credential"
    )
    certificate_sha256 = models.CharField(  # noqa: DJ001 - unique, and most devices have none
        max_length=64,
        null=True,
        blank=True,
        validators=[validate_sha256],
        help_text="fingerprint of the client certificate that a trusted proxy must name for it",
    )
    pending_until = models.DateTimeField(
        null=True, blank=True, db_index=True, help_text="waits for an operator's word so long; null: it may work"
    )
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
        constraints = [
            models.UniqueConstraint(
                fields=["certificate_sha256"],
                condition=Q(certificate_sha256__isnull=False, revoked_at__isnull=True),
                name="device_certificate_unique",
            )
        ]

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
        return Actor("device", str(self.id), self.name)

    def may_read_line(self, name: str) -> bool:
        """Whether the device may install the model line of this name, and read its metadata. Asks no database."""
        return not self.allowed_models or name in self.allowed_models

    def may_read_artifact(self, *, artifact_id: int, kind: str) -> bool:
        """Whether the artifact belongs to a model line that the device names and may install: one query over indexed columns.

        It does as the file of a variant, as contract or sample set of a version, or as a patch to such a file; of drafts none does.
        """
        model, field, version = _BELONGING[Artifact.Kind(kind)]
        belongs = {
            field: artifact_id,
            f"{version}state__in": [Version.State.PUBLISHED, Version.State.YANKED],
            f"{version}model_line__installations__device": self.pk,
            f"{version}model_line__installations__active": True,
        }
        if self.allowed_models:
            belongs[f"{version}model_line__name__in"] = self.allowed_models
        return model._default_manager.filter(**belongs).exists()  # noqa: SLF001 - Django's documented name


# What makes an artifact a version's, by its kind: the table that names it, its column there, and the way from that table to the version.
_BELONGING: dict[Artifact.Kind, tuple[type[models.Model], str, str]] = {
    Artifact.Kind.MODEL: (Variant, "artifact", "version__"),
    Artifact.Kind.CONTRACT: (Version, "contract", ""),
    Artifact.Kind.SAMPLE_SET: (Version, "sample_set", ""),
    Artifact.Kind.PATCH: (Patch, "artifact", "target__variants__version__"),
}


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
