"""People's roles, API tokens and the audit record."""

import uuid

from django.conf import settings
from django.db import models


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


class Membership(models.Model):
    """A person's one role. A person without one may do nothing."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="membership")
    role = models.CharField(max_length=16, choices=Role.choices)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(role__in=Role.values), name="membership_role_known")]

    def __str__(self) -> str:
        return f"{self.user_id}:{self.role}"


class ApiToken(models.Model):
    """A credential for CI or a script. Only the SHA-256 of the token is kept: 256 random bits need no slow hash."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100)
    token_sha256 = models.CharField(max_length=64, unique=True)
    scopes = models.JSONField(help_text="a list of scopes; never more than the owner's role allows")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, help_text="to the hour; written at most once an hour")

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.name


class AuditRecord(models.Model):
    """Who did what, when. Written in the transaction of the change it records; never changed afterwards."""

    at = models.DateTimeField(auto_now_add=True, db_index=True)
    actor = models.CharField(max_length=200, help_text="`person:<username>`, `token:<id>`, `device:<id>` or `system`")
    action = models.CharField(max_length=60, db_index=True, help_text="verb and noun, e.g. `publish_version`")
    subject = models.CharField(max_length=300, help_text="what it was done to, e.g. `digits/1.1.0`")
    detail = models.JSONField(default=dict)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.actor} {self.action} {self.subject}"
