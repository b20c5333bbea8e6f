"""A stand-in server, and a REST client that does not really sleep."""

from collections.abc import Iterator

import pytest

from client.rest import RestClient
from tests.client.stand_in import StandIn


@pytest.fixture
def server() -> Iterator[StandIn]:
    with StandIn() as stand_in:
        yield stand_in


@pytest.fixture
def pauses() -> list[float]:
    """The seconds that the client wanted to sleep."""
    return []


@pytest.fixture
def rest(server: StandIn, pauses: list[float]) -> Iterator[RestClient]:
    with RestClient(server.url, token="sft_secret", sleep=pauses.append) as client:
        yield client
