"""Who acts: the one value that services take to check and to record.

`actor_of` turns any authenticated request into an `Actor`. What authenticates as something else than a person (a device) brings its own `as_actor`.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from django.contrib.auth.models import AbstractBaseUser
from django.http import HttpRequest
from rest_framework.request import Request

from access.errors import Unauthenticated
from access.models import ROLE_SCOPES, ApiToken, Membership


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, and what they may do.

    Attributes:
        kind: `person` (a session), `token` (a person's API token), `device` or `system`.
        id: the username, token id or device id.
        name: for people to read.
        scopes: the scopes this request may use; a device has none, its routes admit it by kind.
    """

    kind: str
    id: str
    name: str
    scopes: frozenset[str]

    @property
    def label(self) -> str:
        """As it stands in the audit record."""
        return self.kind if self.kind == "system" else f"{self.kind}:{self.id}"


SYSTEM = Actor("system", "", "the system", frozenset())


@runtime_checkable
class Principal(Protocol):
    """What authenticates and is not a person."""

    def as_actor(self) -> Actor:
        """The actor that this principal is."""


def scopes_of_user(user: AbstractBaseUser) -> frozenset[str]:
    """What the person's role allows; nothing without a role or when switched off."""
    if not user.is_active:
        return frozenset()
    role = Membership.objects.filter(user_id=user.pk).values_list("role", flat=True).first()
    return ROLE_SCOPES.get(role, frozenset()) if role else frozenset()


def actor_of_user(user: AbstractBaseUser) -> Actor:
    """The actor of a person who is logged in with a session."""
    return Actor("person", user.get_username(), user.get_username(), scopes_of_user(user))


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
        return Actor(
            "token",
            str(token.id),
            f"{token.name} of {user.get_username()}",
            frozenset(token.scopes) & scopes_of_user(user),
        )
    return actor_of_user(user)
