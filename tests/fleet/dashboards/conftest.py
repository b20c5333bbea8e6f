"""People in front of the pages."""

from collections.abc import Callable

import pytest
from django.test import Client

from access.models import Role
from tests.factories.people import make_person

ClientOf = Callable[[Role], Client]


@pytest.fixture
def client_of(db: None) -> ClientOf:
    """A browser in which a person with the role is logged in."""

    def logged_in(role: Role) -> Client:
        client = Client()
        client.force_login(make_person(role))
        return client

    return logged_in


@pytest.fixture
def viewer(client_of: ClientOf) -> Client:
    return client_of(Role.VIEWER)


@pytest.fixture
def operator(client_of: ClientOf) -> Client:
    return client_of(Role.OPERATOR)
