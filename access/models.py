"""People's grants, API tokens and the audit record."""

import uuid

from django.conf import settings
from django.db import models

from access.audit.models import AuditRecord, AuditSeal


class Scope(models.TextChoices):
    """What a request may do. Roles and tokens are sets of these."""

    READ = "read"
    PUBLISH = "publish"
    OPERATE = "operate"
    ADMINISTER = "administer"


class Role(models.TextChoices):
    """What a person is; see `ROLE_SCOPES` for what that allows."""

    VIEWER = "viewer"
    PUBLISHER = "publisher"
    OPERATOR = "operator"
    ADMIN = "admin"


ROLE_SCOPES: dict[str, frozenset[str]] = {
    Role.VIEWER: frozenset({Scope.READ}),
    Role.PUBLISHER: frozenset({Scope.READ, Scope.PUBLISH}),
    Role.OPERATOR: frozenset({Scope.READ, Scope.OPERATE}),
    Role.ADMIN: frozenset(Scope.values),
}


class Grant(models.Model):
    """A role of a person, everywhere or within one model line, one device group, or both. A person without one may do nothing.

    Names, not keys: `access` knows nothing of what they name.
    """

    class Source(models.TextChoices):
        PEOPLE = "people", "given by an admin"
        PROVIDER = "provider", "follows the identity provider's claim at each login"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="grants")
    role = models.CharField(max_length=16, choices=Role.choices)
    model_line = models.CharField(max_length=64, blank=True, help_text="empty: every model line")
    group = models.CharField(max_length=64, blank=True, help_text="empty: every device")
    source = models.CharField(max_length=16, choices=Source.choices, default=Source.PEOPLE)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["role", "model_line", "group", "id"]
        constraints = [
            models.UniqueConstraint(fields=["user", "role", "model_line", "group", "source"], name="grant_unique"),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="grant_role_known"),
            models.CheckConstraint(
                condition=~models.Q(role="admin") | models.Q(model_line="", group=""), name="grant_admin_of_everything"
            ),
            models.CheckConstraint(
                condition=~models.Q(role="publisher") | models.Q(group=""), name="grant_publisher_of_no_group"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id}:{self.role}:{self.model_line}@{self.group}"


class Identity(models.Model):
    """Who a person is to an identity provider. Its subject is what it keeps for good; names and e-mail addresses change hands."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="identities")
    issuer = models.CharField(max_length=300)
    subject = models.CharField(max_length=255)  # OpenID Connect Core 1.0, section 2: at most 255 ASCII characters
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "identities"
        constraints = [models.UniqueConstraint(fields=["issuer", "subject"], name="identity_unique")]

    def __str__(self) -> str:
        return f"{self.user_id}:{self.subject}"


class ApiToken(models.Model):
    """A credential for CI or a script. Only the SHA-256 of the token is kept: 256 random bits need no slow hash."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100)
    token_sha256 = models.CharField(max_length=64, unique=True)
    scopes = models.JSONField(help_text="a list of scopes; never more than the owner's grants allow")
    model_lines = models.JSONField(default=list, help_text="only these; empty: all that the owner's grants are for")
    groups = models.JSONField(default=list, help_text="only these; empty: all that the owner's grants are for")
    made_with = models.ForeignKey(
        "self",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="made",
        help_text="the token that asked for it, and with which it ends; empty: a person made it",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, help_text="to the hour; written at most once an hour")

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.name


__all__ = ["ROLE_SCOPES", "ApiToken", "AuditRecord", "AuditSeal", "Grant", "Identity", "Role", "Scope"]
