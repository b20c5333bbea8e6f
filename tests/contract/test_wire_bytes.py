"""What headers cost: the agent's own client and counter against the real server, over a socket."""

import hashlib
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.http import Client
from client.demo.models import DemoModel
from client.processes import free_port
from client.stack import Stack
from fleet.ledger.forecast import REQUEST_OVERHEAD_BYTES

IDLE_POLL_BYTES = 300
SAYING = {
    "agent_version": "1",
    "patch_formats": [1],
    "installations": [{"model": "digits", "current": None, "previous": None}],
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home: Path = tmp_path_factory.mktemp("stack")
    with Stack(home, port=free_port(), worker=False) as running:
        yield running


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[Client]:
    stack.trust("digits")
    stack.cli("publish", *DemoModel("1.0.0", "fp32").publish_arguments())
    with stack.rest() as rest:
        token = rest.post("enrollment-tokens", {"name": "meter"})["token"]
    client = Client(stack.url)
    enrolled = client.call("POST", "enroll", document={"token": token, "name": "meter"}).json()
    assert isinstance(enrolled, dict)
    client.credential = enrolled["credential"]
    yield client
    client.close()


def test_headers_of_a_download_are_what_the_forecast_counts(stack: Stack, client: Client) -> None:
    with stack.rest() as rest:
        contract = rest.get("models/digits/versions/1.0.0")["contract"]
    client.call("POST", "poll", document=SAYING)  # what it has not named it may not read
    headers = {"Smallfleet-Attempt": str(uuid.uuid4())}
    before = client.counted()
    with client.open("GET", f"artifacts/sha256/{contract['sha256']}", headers, seconds=10) as got:
        content = got.read()
    assert hashlib.sha256(content).hexdigest() == contract["sha256"]
    spent = client.counted() - before
    overhead = spent.sent + spent.received - len(content)
    assert abs(overhead - REQUEST_OVERHEAD_BYTES) <= 20


def test_idle_poll_costs_at_most_three_hundred_bytes(client: Client) -> None:
    said = client.call("POST", "poll", document=SAYING)
    before = client.counted()
    assert client.call("GET", "poll", etag=said.etag).status == 304
    spent = client.counted() - before
    assert spent.requests == 1
    assert spent.sent + spent.received <= IDLE_POLL_BYTES
