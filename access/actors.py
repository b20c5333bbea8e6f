"""Who acts: the one value that services take to check and to record.

`actor_of` turns any authenticated request into an `Actor`. What authenticates as something else than a person (a device) brings its own `as_actor`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import prefetch_related_objects
from django.http import HttpRequest
from rest_framework.request import Request

from access.errors import PermissionRefused, Unauthenticated
from access.grants import EVERY, EVERYTHING, Asked, GrantSpec, Permit, narrowed
from access.models import ApiToken, Grant, Role, Scope


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, and what they may do.

    Attributes:
        kind: `person` (a session), `token` (a person's API token), `device` or `system`.
        id: the username, token id or device id.
        name: for people to read.
        permits: what this request may do, and where; a device has none, its routes admit it by kind.
    """

    kind: str
    id: str
    name: str
    permits: tuple[Permit, ...] = ()

    @property
    def label(self) -> str:
        """As it stands in the audit record."""
        return self.kind if self.kind == "system" else f"{self.kind}:{self.id}"

    @property
    def scopes(self) -> frozenset[str]:
        """Every scope that is allowed anywhere."""
        return frozenset().union(*(permit.scopes for permit in self.permits))

    def allows(self, scope: Scope, *, model: Asked = EVERY, group: Asked = EVERY) -> bool:
        """Whether the scope is allowed for this model line and this group, by their names.

        What is not named is asked about as a whole, which only an unrestricted grant allows; `SOME` is satisfied with any part of it.
        """
        return any(permit.covers(scope, model, group) for permit in self.permits)

    def requires(self, scope: Scope, *, model: Asked = EVERY, group: Asked = EVERY) -> None:
        """Let pass what `allows` allows.

        Raises:
            PermissionRefused: nothing else; say `NotFound` before, where whoever asks may not know that the thing is there.
        """
        if not self.allows(scope, model=model, group=group):
            raise PermissionRefused(
                f"this needs `{scope.value}` of {_words(model, 'model line')} in {_words(group, 'group')}; {self.label} may:"
                f" {', '.join(map(str, self.permits)) or 'nothing'}"
            )

    def permits_for(self, scope: Scope) -> tuple[Permit, ...]:
        """Those that have the scope."""
        return tuple(permit for permit in self.permits if scope in permit.scopes)


def _words(asked: Asked, what: str) -> str:
    return asked if isinstance(asked, str) else f"{'every' if asked is EVERY else 'some'} {what}"


SYSTEM = Actor("system", "", "the system", (EVERYTHING,))


@runtime_checkable
class Principal(Protocol):
    """What authenticates and is not a person."""

    def as_actor(self) -> Actor:
        """The actor that this principal is."""

    def may_read_line(self, name: str) -> bool:
        """Whether it may read what is published of the model line of this name, its metadata first of all."""

    def may_read_artifact(self, *, artifact_id: int, kind: str) -> bool:
        """Whether it may read these bytes."""


def permits_of_user(user: AbstractBaseUser) -> tuple[Permit, ...]:
    """What the person's grants allow; nothing when switched off. One query for each time the person is loaded."""
    if not user.is_active:
        return ()
    prefetch_related_objects([user], "grants")
    grants: Iterable[Grant] = user.grants.all()  # type: ignore[attr-defined]
    return tuple(GrantSpec(Role(grant.role), grant.model_line, grant.group).permit for grant in grants)


def actor_of_user(user: AbstractBaseUser) -> Actor:
    """The actor of a person who is logged in with a session."""
    return Actor("person", user.get_username(), user.get_username(), permits_of_user(user))


def permits_of_token(token: ApiToken) -> tuple[Permit, ...]:
    """What of its owner's grants the token has."""
    return narrowed(
        permits_of_user(token.user), scopes=token.scopes, model_lines=token.model_lines, groups=token.groups
    )


def actor_of(request: Request | HttpRequest) -> Actor:
    """The actor behind an authenticated request.

    Raises:
        Unauthenticated: nobody is.
    """
    user = request.user
    if isinstance(user, Principal):
        return user.as_actor()
    if not isinstance(user, AbstractBaseUser):
        raise Unauthenticated("send an Authorization header with a valid token")
    token = getattr(request, "auth", None)
    if isinstance(token, ApiToken):
        return Actor("token", str(token.id), f"{token.name} of {user.get_username()}", permits_of_token(token))
    return actor_of_user(user)
