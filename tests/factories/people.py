"""People with fixed roles, and API clients that speak as them."""

from django.contrib.auth.models import User
from rest_framework.test import APIClient

from access.actors import SYSTEM
from access.models import ROLE_SCOPES, Role
from access.services import create_person, create_token

PASSWORD = "correct horse battery staple"


def make_person(role: Role | str = Role.ADMIN, username: str = "") -> User:
    """A person with `role`, named after it unless told."""
    return create_person(actor=SYSTEM, username=username or str(role), password=PASSWORD, role=Role(role))


def token_of(person: User, *scopes: str) -> str:
    """A fresh token of the person, with all scopes of their role unless told."""
    allowed = ROLE_SCOPES[person.membership.role]
    return create_token(actor=SYSTEM, user=person, name="test", scopes=scopes or allowed)[1]


def api_as(role: Role | str | None, username: str = "") -> APIClient:
    """An API client that speaks as a person with `role`, or as nobody."""
    client = APIClient()
    if role is not None:
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {token_of(make_person(role, username))}")
    return client
