"""The ledger: the agent's and the server's count, by way and device, and what it costs."""

from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from access.actors import SYSTEM
from fleet.ledger.models import LedgerEntry
from fleet.ledger.queries import ledger_of_rollout
from fleet.ledger.services import MAX_BYTES, MAX_REQUESTS
from fleet.rollouts.models import Rollout
from fleet.rollouts.recording import record_events
from registry.models import Variant
from registry.signals import artifact_served
from tests.factories.fleet import (
    EnrolledDevice,
    Script,
    in_threads,
    make_device,
    make_link_class,
    make_patch,
    make_rollout,
    make_variant,
    messages,
    sha,
)
from tests.factories.people import api_as


def serve(device: EnrolledDevice, attempt: Any, sha256: str, bytes_sent: int, *, redirected: bool = False) -> None:
    """What the registry tells when it has served."""
    artifact_served.send(
        sender=None,
        sha256=sha256,
        bytes_sent=bytes_sent,
        actor=device.row.as_actor(),
        attempt=attempt,
        redirected=redirected,
    )


@pytest.fixture
def devices(db: None) -> tuple[EnrolledDevice, EnrolledDevice]:
    return (
        make_device("metered", link_class=make_link_class("lte", "0.5")),
        make_device("free", link_class=make_link_class("wifi", "0")),
    )


@pytest.fixture
def versions(devices: tuple[EnrolledDevice, EnrolledDevice]) -> tuple[Variant, Variant]:
    old, new = make_variant("1.0.0"), make_variant("1.1.0")
    for device in devices:
        device.holds(old)
    return old, new


@pytest.fixture
def rollout(versions: tuple[Variant, Variant]) -> Rollout:
    old, new = versions
    make_patch(old.artifact, new.artifact, 60_000)
    return make_rollout(new)


def test_ledger_adds_up_by_way_and_device(
    devices: tuple[EnrolledDevice, EnrolledDevice], versions: tuple[Variant, Variant], rollout: Rollout
) -> None:
    metered, free = devices
    by_delta, by_raw = Script(versions[1], rollout), Script(versions[1], rollout)
    patch = sha("the patch")
    record_events(
        device=metered.row,
        events=messages(
            [
                by_delta.transferred(10_000, 300, artifact=patch, way="delta", complete=False),
                by_delta.transferred(50_000, 200, artifact=patch, way="delta"),
                by_delta.transferred(900, 100, artifact=sha("contract"), way="contract"),
            ]
        ),
    )
    record_events(device=free.row, events=messages([by_raw.transferred(900_000, 400)]))
    serve(metered, by_delta.attempt, patch, 9_500)
    serve(metered, by_delta.attempt, patch, 49_800)
    ledger = ledger_of_rollout(rollout, actor=SYSTEM)
    ways = {line.way: (line.agent_bytes, line.server_bytes, line.requests, line.devices) for line in ledger.by_way}
    assert ways == {
        "contract": (1_000, None, 1, 1),
        "delta": (60_500, 59_300, 2, 1),
        "raw": (900_400, None, 1, 1),
    }
    assert (ledger.agent_bytes, ledger.server_bytes, ledger.requests, ledger.devices) == (961_900, 59_300, 4, 2)
    assert ledger.money == Decimal("0.5") * 61_500 / 10**6
    assert [(line.device, line.agent_bytes, line.ways, line.money) for line in ledger.by_device] == [
        ("free", 900_400, ("raw",), Decimal(0)),
        ("metered", 61_500, ("contract", "delta"), ledger.money),
    ]
    assert [line.device for line in ledger_of_rollout(rollout, actor=SYSTEM, device_limit=1).by_device] == ["free"]


def test_ledger_over_the_wire(
    devices: tuple[EnrolledDevice, EnrolledDevice], versions: tuple[Variant, Variant], rollout: Rollout
) -> None:
    record_events(device=devices[0].row, events=messages(Script(versions[1], rollout).story()))
    body = api_as("viewer").get(f"/api/v1/rollouts/{rollout.pk}/ledger").json()
    assert (body["agent_bytes"], body["server_bytes"], body["currency"]) == (900_400, None, "EUR")
    assert Decimal(body["money"]) == Decimal("0.5") * 900_400 / 10**6
    assert body["by_device"][0]["link_class"] == "lte"
    assert api_as("viewer", "other").get(f"/api/v1/rollouts/{uuid4()}/ledger").status_code == 404


def test_rollout_without_bytes_has_an_empty_ledger(rollout: Rollout) -> None:
    ledger = ledger_of_rollout(rollout, actor=SYSTEM)
    assert (ledger.agent_bytes, ledger.server_bytes, ledger.money) == (0, None, Decimal(0))
    assert not ledger.by_way


def test_redirect_leaves_the_servers_count_null(devices: tuple[EnrolledDevice, EnrolledDevice]) -> None:
    attempt = uuid4()
    serve(devices[0], attempt, sha("a"), 0, redirected=True)
    assert LedgerEntry.objects.get().server_bytes is None
    serve(devices[0], attempt, sha("a"), 70)
    serve(devices[0], attempt, sha("a"), 30)
    assert LedgerEntry.objects.get().server_bytes == 100


def test_bytes_of_people_and_of_no_attempt_are_in_no_ledger(devices: tuple[EnrolledDevice, EnrolledDevice]) -> None:
    serve(devices[0], None, sha("a"), 10)
    artifact_served.send(sender=None, sha256=sha("a"), bytes_sent=10, actor=SYSTEM, attempt=uuid4(), redirected=False)
    assert not LedgerEntry.objects.exists()


def test_bytes_under_another_devices_attempt_are_not_in_its_ledger(
    devices: tuple[EnrolledDevice, EnrolledDevice], versions: tuple[Variant, Variant], rollout: Rollout
) -> None:
    owner, thief = devices
    script = Script(versions[1], rollout)
    record_events(device=owner.row, events=messages([script.transferred(100, 0)]))
    serve(thief, script.attempt, sha("anything"), 10**9)
    ledger = ledger_of_rollout(rollout, actor=SYSTEM)
    assert (ledger.agent_bytes, ledger.server_bytes, ledger.devices) == (100, None, 1)


@pytest.mark.parametrize("way", ["delta", "raw"])
def test_forecast_before_equals_the_ledger_after(
    devices: tuple[EnrolledDevice, EnrolledDevice], versions: tuple[Variant, Variant], way: str
) -> None:
    """What the poll announces, fetched with real headers' sizes, is what was forecast, within 5 %."""
    old, new = versions
    if way == "delta":
        make_patch(old.artifact, new.artifact, 60_000)
    rollout = make_rollout(new)
    for device in devices:
        (told,) = device.api.get("/api/v1/poll").json()["installations"]
        target, script = told["target"], Script(new, rollout)
        files = [
            (told["ways"][0]["way"], told["ways"][0]),
            ("contract", target["contract"]),
            ("sample-set", target["sample_set"]),
        ]
        events = [
            script.transferred(308 + file["size_bytes"], 258, artifact=file["sha256"], way=kind) for kind, file in files
        ]
        record_events(device=device.row, events=messages([*events, script.activated(old)]))
    rollout.refresh_from_db()
    assert rollout.state == Rollout.State.FINISHED
    assert rollout.forecast is not None
    ledger = ledger_of_rollout(rollout, actor=SYSTEM)
    assert rollout.forecast["bytes_total"] == pytest.approx(ledger.agent_bytes, rel=0.05)
    assert Decimal(rollout.forecast["money_total"]) == pytest.approx(ledger.money, rel=Decimal("0.05"))
    for line in ledger.by_way:
        assert rollout.forecast["bytes_by_way"][line.way] == pytest.approx(line.agent_bytes, rel=0.05)


@pytest.mark.django_db(transaction=True)
def test_both_counts_grow_at_once_and_lose_nothing() -> None:
    new = make_variant("1.1.0")
    device = make_device()
    device.holds(None)
    attempt = uuid4()

    def agent(number: int) -> None:
        script = Script(new, attempt=attempt, seq=number)
        record_events(device=device.row, events=messages([script.transferred(100, 1)]))

    def server(_number: int) -> None:
        serve(device, attempt, new.artifact.sha256, 90)

    calls = [lambda number=number, count=count: count(number) for number in range(6) for count in (agent, server)]
    in_threads(*calls)
    entry = LedgerEntry.objects.get()
    assert (entry.agent_bytes, entry.server_bytes, entry.requests) == (606, 540, 6)


def test_counts_beyond_every_device_stop_at_the_columns_end(
    devices: tuple[EnrolledDevice, EnrolledDevice], rollout: Rollout, versions: tuple[Variant, Variant]
) -> None:
    """An overflow would be a 500, and the device would send the same delivery for ever."""
    script = Script(versions[1], rollout)
    for _ in range(2):
        told = [script.transferred(2**53, 2**53, requests=2**31 - 1) for _ in range(2)]
        assert devices[0].api.post("/api/v1/events", {"events": told}, format="json").json()["accepted"] == 2
    entry = LedgerEntry.objects.get(device=devices[0].row)
    assert (entry.agent_bytes, entry.requests) == (MAX_BYTES, MAX_REQUESTS)
    record_events(device=devices[0].row, events=messages([script.transferred(100, 1)]))
    entry.refresh_from_db()
    assert entry.agent_bytes == MAX_BYTES
