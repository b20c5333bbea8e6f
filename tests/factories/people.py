"""People with fixed grants, and API clients that speak as them."""

from django.contrib.auth.models import User
from rest_framework.test import APIClient

from access.actors import SYSTEM, actor_of_user
from access.grants import parse_grant
from access.models import Role
from access.people import create_person
from access.services import create_token

PASSWORD = "correct horse battery staple"


def make_person(grants: Role | str = Role.ADMIN, username: str = "") -> User:
    """A person with the grants, `role[:line][@group]` and blanks between several, named after them unless told."""
    name = username or str(grants).replace(":", "_").replace(" ", "+")
    specs = [parse_grant(text) for text in str(grants).split()]
    return create_person(actor=SYSTEM, username=name, password=PASSWORD, grants=specs)


def token_of(person: User, *scopes: str, lines: tuple[str, ...] = (), groups: tuple[str, ...] = ()) -> str:
    """A fresh token of the person, with all their scopes unless told."""
    wanted = scopes or actor_of_user(person).scopes
    return create_token(actor=SYSTEM, user=person, name="test", scopes=wanted, model_lines=lines, groups=groups)[1]


def api_as(grants: Role | str | None, username: str = "") -> APIClient:
    """An API client that speaks as a person with the grants, or as nobody."""
    client = APIClient()
    if grants is not None:
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {token_of(make_person(grants, username))}")
    return client
