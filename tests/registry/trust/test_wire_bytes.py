"""Metadata is small on the wire: 25 live targets, the agent's own client and counter, a real socket."""

from collections.abc import Iterator

import pytest
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer

from access.actors import SYSTEM
from agent.http import Client
from agent.trust.verified import Versions
from benchmarks.load.metadata_bytes import GOAL_RENEWAL_BYTES, GOAL_UPDATE_BYTES, LIVE_TARGETS, NOTHING, ask_news
from registry.models import MetadataFile, Variant
from registry.trust.services import accept_targets, renew_metadata
from tests.factories.fleet import make_device, make_variant
from tests.factories.trust import SignedLine, target_of, trust_line

pytestmark = pytest.mark.django_db(transaction=True)
EVERYTHING = {
    "limits": {"p50_latency_ns": 5_000_000, "peak_memory_bytes": 64_000_000},
    "device_classes": ["pi4", "pi5"],
}


@pytest.fixture
def variants(db: None) -> list[Variant]:
    """As many as may be measured: two of each version, with contracts, sample sets and tolerances."""
    return [
        make_variant(f"1.{number // 2}.0", ("fp32", "int8")[number % 2], is_live=False)
        for number in range(LIVE_TARGETS)
    ]


@pytest.fixture
def signed(variants: list[Variant]) -> SignedLine:
    """A line with a root, and targets 1 with all of them but one."""
    return trust_line(variants[0].version.model_line, *variants[1:])


@pytest.fixture
def client(live_server: LiveServer, signed: SignedLine) -> Iterator[Client]:
    """The agent's client, with a device's credential."""
    device = make_device()
    device.holds(None)
    client = Client(live_server.url)
    client.credential = device.credential
    yield client
    client.close()


def test_update_and_renewal_keep_their_bounds(client: Client, signed: SignedLine, variants: list[Variant]) -> None:
    have, _ = ask_news(client, NOTHING)
    assert have == Versions(root=1, timestamp=1, snapshot=1, targets=1)

    line = variants[0].version.model_line
    content = signed.next_targets(target_of(variant, **EVERYTHING) for variant in variants)
    accept_targets(actor=SYSTEM, model_line=line, version=2, content=content)
    have, update_bytes = ask_news(client, have)
    assert have == Versions(root=1, timestamp=2, snapshot=2, targets=2)
    assert update_bytes <= GOAL_UPDATE_BYTES
    assert Variant.objects.filter(is_live=True).count() == LIVE_TARGETS

    MetadataFile.objects.filter(role="timestamp").update(expires_at=timezone.now())
    assert renew_metadata() == 1
    have, renewal_bytes = ask_news(client, have)
    assert have == Versions(root=1, timestamp=3, snapshot=2, targets=2)
    assert renewal_bytes <= GOAL_RENEWAL_BYTES
    assert ask_news(client, have)[0] == have
