"""The verbs that write: tokens, roles, the audit record."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from access import tokens
from access.actors import Actor, scopes_of_user
from access.errors import NotFound, PermissionRefused, TokenScopeInvalid
from access.models import ApiToken, AuditRecord, Membership, Role, Scope


def record_audit(*, actor: Actor, action: str, subject: str, detail: dict[str, Any] | None = None) -> None:
    """Write down who did what. Call it in the transaction of the change, so that neither stands without the other."""
    AuditRecord.objects.create(actor=actor.label, action=action, subject=subject, detail=detail or {})


@transaction.atomic
def create_person(*, actor: Actor, username: str, password: str, role: Role) -> User:
    """Create a person with one role."""
    user = User.objects.create_user(username=username, password=password)
    # Django's own admin is read-only here, and open to admins alone.
    user.is_staff = user.is_superuser = role == Role.ADMIN
    user.save(update_fields=["is_staff", "is_superuser"])
    Membership.objects.create(user=user, role=role)
    record_audit(actor=actor, action="create_person", subject=username, detail={"role": role.value})
    return user


@transaction.atomic
def create_token(
    *, actor: Actor, user: User, name: str, scopes: Collection[str], expires_at: datetime | None = None
) -> tuple[ApiToken, str]:
    """Create an API token; returns it and its secret, which is never to be had again.

    One that is made with a token may do no more than that token, and does not outlive it: whoever steals a small token must not make a big one of it.

    Raises:
        TokenScopeInvalid: a scope does not exist, or is more than the owner's role, or the token that asks, allows.
    """
    allowed = scopes_of_user(user)
    if actor.kind == "token":
        allowed &= actor.scopes
        expires_at = _earlier(expires_at, ApiToken.objects.get(pk=actor.id).expires_at)
    unknown = set(scopes) - set(Scope.values)
    beyond = set(scopes) - unknown - allowed
    if unknown or beyond or not scopes:
        raise TokenScopeInvalid(
            f"choose one or more of {sorted(allowed)}; unknown: {sorted(unknown)}, beyond what {actor.label} may give: {sorted(beyond)}"
        )
    secret = tokens.new_secret(tokens.PERSON_PREFIX)
    token = ApiToken.objects.create(
        user=user, name=name, token_sha256=tokens.digest(secret), scopes=sorted(set(scopes)), expires_at=expires_at
    )
    record_audit(
        actor=actor,
        action="create_token",
        subject=str(token.id),
        detail={"name": name, "scopes": token.scopes, "owner": user.username},
    )
    return token, secret


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    """The earlier of two ends; None is never."""
    return min((end for end in (one, other) if end is not None), default=None)


@transaction.atomic
def revoke_token(*, actor: Actor, user: User, token_id: UUID) -> None:
    """End a token of `user`; effective at the next request. Ending it twice is harmless.

    Raises:
        NotFound: the person has no such token.
        PermissionRefused: it may do more than the token that asks.
    """
    token = ApiToken.objects.filter(pk=token_id, user=user).first()
    if token is None:
        raise NotFound(f"you have no token {token_id}")
    if actor.kind == "token" and not actor.scopes.issuperset(token.scopes):
        raise PermissionRefused(f"the token {token_id} has {token.scopes}, {actor.label} only {sorted(actor.scopes)}")
    if ApiToken.objects.filter(pk=token_id, revoked_at=None).update(revoked_at=timezone.now()):
        record_audit(actor=actor, action="revoke_token", subject=str(token_id))
