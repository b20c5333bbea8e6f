"""Events: each once, in any order, from any number of threads; what they change, and which are refused."""

import json
import random
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection

from fleet.devices.models import Device, Installation
from fleet.ledger.models import LedgerEntry
from fleet.rollouts.api.event_serializers import FAILED_STAGES
from fleet.rollouts.models import Attempt, CohortMember, Event, Rollout
from fleet.rollouts.queries import progress_of
from fleet.rollouts.recording import record_events
from registry.models import Variant
from tests.factories.fleet import (
    EnrolledDevice,
    Script,
    in_threads,
    make_device,
    make_rollout,
    make_variant,
    messages,
    sha,
)

Outcome = CohortMember.Outcome


@pytest.fixture
def versions(db: None) -> tuple[Variant, Variant]:
    return make_variant("1.0.0"), make_variant("1.1.0")


def send(device: EnrolledDevice, *events: Any) -> dict[str, Any]:
    # Dumped here, because the test client cannot send text that is no Unicode, and a device can.
    answer = device.api.post("/api/v1/events", json.dumps({"events": events}), content_type="application/json")
    assert answer.status_code == 200, answer.content
    recorded: dict[str, Any] = answer.json()
    return recorded


def counts(body: dict[str, Any]) -> tuple[int, int, int]:
    return body["accepted"], body["repeated"], len(body["refused"])


def test_attempt_that_goes_well_closes_everything_behind_it(versions: tuple[Variant, Variant]) -> None:
    old, new = versions
    device = make_device()
    device.holds(old)
    rollout = make_rollout(new)
    script = Script(new, rollout)
    assert counts(send(device, *script.story())) == (5, 0, 0)
    attempt = Attempt.objects.get()
    assert (attempt.pk, attempt.state, attempt.way) == (script.attempt, Attempt.State.SUCCEEDED, "raw")
    assert attempt.closed_at is not None
    assert Event.objects.count() == 5
    entry = LedgerEntry.objects.get()
    assert (entry.agent_bytes, entry.server_bytes, entry.requests, entry.way) == (900_400, None, 1, "raw")
    rollout.refresh_from_db()
    assert rollout.state == Rollout.State.FINISHED
    assert rollout.closed_at is not None
    assert progress_of(rollout).succeeded == progress_of(rollout).total == 1


def test_delivery_sent_again_changes_nothing(versions: tuple[Variant, Variant]) -> None:
    device = make_device()
    device.holds(versions[0])
    story = Script(versions[1], make_rollout(versions[1])).story()
    send(device, *story)
    before = list(LedgerEntry.objects.values()), list(Attempt.objects.values()), list(Event.objects.values())
    assert counts(send(device, *story)) == (0, 5, 0)
    assert counts(send(device, *story, *story)) == (0, 10, 0)
    assert before == (
        list(LedgerEntry.objects.values()),
        list(Attempt.objects.values()),
        list(Event.objects.values()),
    )


def test_event_twice_in_one_delivery_counts_once(versions: tuple[Variant, Variant]) -> None:
    device = make_device()
    event = Script(versions[1]).transferred()
    assert counts(send(device, event, event)) == (1, 1, 0)
    assert LedgerEntry.objects.get().agent_bytes == 900_400


@pytest.mark.parametrize("seed", range(5))
def test_events_in_any_order_and_cut_come_to_the_same(versions: tuple[Variant, Variant], seed: int) -> None:
    device = make_device()
    device.holds(versions[0])
    rollout = make_rollout(versions[1])
    story = Script(versions[1], rollout).story()
    shuffled = random.Random(seed).sample(story, len(story))  # noqa: S311 - an order, not a secret
    for event in shuffled:
        assert counts(send(device, event)) == (1, 0, 0)
    attempt = Attempt.objects.get()
    assert (attempt.state, attempt.way) == (Attempt.State.SUCCEEDED, "raw")
    assert LedgerEntry.objects.get().agent_bytes == 900_400
    rollout.refresh_from_db()
    assert rollout.state == Rollout.State.FINISHED


def test_several_transfers_of_one_artifact_add_up(versions: tuple[Variant, Variant]) -> None:
    device, script = make_device(), Script(versions[1])
    send(device, script.transferred(100, 10, complete=False), script.transferred(200, 20), script.transferred(5, 1))
    entry = LedgerEntry.objects.get()
    assert (entry.agent_bytes, entry.requests) == (336, 3)


@pytest.mark.parametrize(
    ("final", "state", "outcome"),
    [
        ("failed", Attempt.State.FAILED, Outcome.FAILED),
        ("rolled_back", Attempt.State.ROLLED_BACK, Outcome.ROLLED_BACK),
    ],
)
def test_attempt_that_ends_badly_closes_too(
    versions: tuple[Variant, Variant], final: str, state: str, outcome: str
) -> None:
    old, new = versions
    device = make_device()
    device.holds(old)
    rollout = make_rollout(new)
    script = Script(new, rollout)
    send(device, script.started(), script.failed() if final == "failed" else script.rolled_back(old))
    assert Attempt.objects.get().state == state
    assert rollout.members.get().outcome == outcome
    assert Attempt.objects.get().reason.startswith("smoke: outputs-differ" if final == "failed" else "latency")
    rollout.refresh_from_db()
    assert rollout.state == Rollout.State.FINISHED


def test_shadow_run_is_a_fact_between_smoke_and_activation(versions: tuple[Variant, Variant]) -> None:
    device, script = make_device(), Script(versions[1])
    full = {"source": "recent-inputs", "samples": 40, "disagreement": 0.025, "max_abs_error": 0.4, "vetoed": False}
    shadowed = script.event("shadowed", **full, latency_ratio=1.02)
    assert counts(send(device, script.started(), shadowed, script.activated())) == (3, 0, 0)
    assert Event.objects.get(kind="shadowed").detail.items() >= {**full, "latency_ratio": 1.02}.items()
    assert Attempt.objects.get().state == Attempt.State.SUCCEEDED


def test_shadow_run_that_compared_nothing_says_so(versions: tuple[Variant, Variant]) -> None:
    shadowed = Script(versions[1]).event("shadowed", source="sample-set", samples=0, vetoed=False)
    assert counts(send(make_device(), shadowed)) == (1, 0, 0)
    detail = Event.objects.get().detail
    assert (detail["disagreement"], detail["max_abs_error"], detail["latency_ratio"]) == (None, None, None)


@pytest.mark.parametrize(
    "wrong", [{"source": "a folder"}, {"disagreement": 1.5}, {"latency_ratio": -1}, {"samples": -1}, {"vetoed": None}]
)
def test_shadow_run_with_a_wrong_shape_is_refused(versions: tuple[Variant, Variant], wrong: dict[str, Any]) -> None:
    shadowed = Script(versions[1]).event("shadowed", **({"source": "sample-set", "samples": 1, "vetoed": True} | wrong))
    assert counts(send(make_device(), shadowed)) == (0, 0, 1)


@pytest.mark.parametrize("stage", FAILED_STAGES)
def test_attempt_that_failed_says_at_which_stage(versions: tuple[Variant, Variant], stage: str) -> None:
    script = Script(versions[1])
    failed = script.event("failed", stage=stage, reason="said-no", detail="why", permanent=False)
    assert counts(send(make_device(), failed)) == (1, 0, 0)
    assert Attempt.objects.get().reason == f"{stage}: said-no: why"


def test_rollback_says_why_in_words_too(versions: tuple[Variant, Variant]) -> None:
    old, new = versions
    device, script = make_device(), Script(new)
    device.holds(new, old)
    assert counts(send(device, script.started(), script.rolled_back(old))) == (2, 0, 0)
    assert Attempt.objects.get().reason == "latency: p50 9.1 ms is over 5 ms"
    assert Installation.objects.get().current == old.artifact
    bare = Script(new).event("rolled_back", to=old.artifact.sha256, reason="latency")  # agents of before
    assert counts(send(device, bare)) == (1, 0, 0)


def test_first_final_event_wins(versions: tuple[Variant, Variant]) -> None:
    device, script = make_device(), Script(versions[1])
    send(device, script.activated())
    assert counts(send(device, script.failed())) == (1, 0, 0)
    assert Attempt.objects.get().state == Attempt.State.SUCCEEDED


def test_later_attempt_that_succeeds_mends_a_failed_one(versions: tuple[Variant, Variant]) -> None:
    device, other = make_device(), make_device()
    device.holds(versions[0])
    other.holds(versions[0])
    rollout = make_rollout(versions[1])
    send(device, Script(versions[1], rollout).failed(permanent=False))
    assert progress_of(rollout).failed == 1
    send(device, Script(versions[1], rollout).activated())
    progress = progress_of(rollout)
    assert (progress.failed, progress.succeeded, progress.pending) == (0, 1, 1)


def test_activation_is_believed_until_the_device_says_itself(versions: tuple[Variant, Variant]) -> None:
    old, new = versions
    device = make_device()
    device.holds(old)
    send(device, Script(new).activated(old))
    row = Installation.objects.get()
    assert (row.current, row.previous) == (new.artifact, old.artifact)
    assert device.api.get("/api/v1/poll").status_code == 409  # so a late event cannot stay believed


def test_late_event_of_what_the_device_said_already_asks_nothing_again(versions: tuple[Variant, Variant]) -> None:
    old, new = versions
    device = make_device()
    device.holds(new, old)
    send(device, Script(new).activated(old))
    assert device.api.get("/api/v1/poll").status_code == 200


def test_attempt_of_another_device_is_refused_and_the_rest_taken(versions: tuple[Variant, Variant]) -> None:
    owner, thief = make_device(), make_device()
    script = Script(versions[1])
    send(owner, script.started())
    own = Script(versions[1])
    body = send(thief, script.activated(), own.started())
    assert counts(body) == (1, 0, 1)
    (refused,) = body["refused"]
    assert refused["type"] == "urn:smallfleet:problem:attempt-foreign"
    assert (refused["attempt"], refused["seq"]) == (str(script.attempt), 2)
    assert Attempt.objects.get(pk=script.attempt).state == Attempt.State.OPEN


def broken(script: Script, **changes: Any) -> dict[str, Any]:
    return {**script.started(), **changes}


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "no-such-line"},
        {"target": sha("never published")},
        {"rollout": str(uuid4())},
        {"kind": "exploded"},
        {"kind": "\ud800"},
        {"attempt": "not-a-uuid"},
        {"seq": -1},
        {"seq": 2**31},
        {"at": "yesterday"},
        {"target": "ABC"},
        {"detail": {}},
        {"detail": []},
        {"kind": "transferred", "detail": {"artifact": sha("a"), "way": "raw", "bytes_received": -1}},
        {"kind": "applied", "detail": {"way": "raw", "duration_s": "NaN"}},
        {"model": "digits\0"},
    ],
)
def test_event_that_can_never_be_taken_is_refused_alone(
    versions: tuple[Variant, Variant], changes: dict[str, Any]
) -> None:
    device, script = make_device(), Script(versions[1])
    body = send(device, broken(script, **changes), script.started())
    assert counts(body) == (1, 0, 1)
    assert body["refused"][0]["type"] == "urn:smallfleet:problem:event-invalid"
    assert body["refused"][0]["detail"]
    assert Event.objects.count() == 1


@pytest.mark.parametrize("junk", [None, 7, "text", [], {}])
def test_junk_in_a_delivery_is_refused_alone(versions: tuple[Variant, Variant], junk: Any) -> None:
    assert counts(send(make_device(), junk, Script(versions[1]).started())) == (1, 0, 1)


def test_rollout_of_another_line_is_refused(versions: tuple[Variant, Variant]) -> None:
    other = make_variant(line="keywords")
    device = make_device()
    device.holds(None, line="keywords")
    rollout = make_rollout(other)
    body = send(device, Script(versions[1], rollout).started())
    assert counts(body) == (0, 0, 1)


def test_attempt_cannot_change_its_target(versions: tuple[Variant, Variant]) -> None:
    device, script = make_device(), Script(versions[1])
    send(device, script.started())
    moved = Script(versions[0], attempt=script.attempt, seq=5)
    assert counts(send(device, moved.activated())) == (0, 0, 1)


def test_unknown_fields_are_ignored_and_long_texts_cut(versions: tuple[Variant, Variant]) -> None:
    device, script = make_device(), Script(versions[1])
    event = script.event("failed", stage="apply", reason="r" * 900, detail="d" * 90_000, permanent=True, mood="bad")
    assert counts(send(device, {**event, "weather": "rain"})) == (1, 0, 0)
    assert set(Event.objects.get().detail) == {"stage", "reason", "detail", "permanent"}
    assert len(Attempt.objects.get().reason) == 500


def test_too_many_events_are_refused_as_a_whole(versions: tuple[Variant, Variant]) -> None:
    script = Script(versions[1])
    answer = make_device().api.post("/api/v1/events", {"events": [script.started() for _ in range(101)]}, format="json")
    assert answer.status_code == 400
    assert not Attempt.objects.exists()


def test_hundred_events_are_one_short_transaction(versions: tuple[Variant, Variant]) -> None:
    device, script = make_device(), Script(versions[1])
    events = [script.transferred(10, 1) for _ in range(100)]
    assert counts(send(device, *events)) == (100, 0, 0)
    assert LedgerEntry.objects.get().agent_bytes == 1_100


# --- Threads. On PostgreSQL with the hundred devices of the requirement, on SQLite with fewer threads. ---------------


@pytest.mark.django_db(transaction=True)
def test_same_delivery_from_two_threads_counts_once() -> None:
    old, new = make_variant("1.0.0"), make_variant("1.1.0")
    device = make_device()
    device.holds(old)
    rollout = make_rollout(new)
    results = []
    for _ in range(3):
        story = messages(Script(new, rollout).story())
        in_threads(*[lambda story=story: results.append(record_events(device=device.row, events=story))] * 4)
    assert sum(result.accepted for result in results) == 15
    assert sum(result.repeated for result in results) == 45
    assert Event.objects.count() == 15
    assert {entry.agent_bytes for entry in LedgerEntry.objects.all()} == {900_400}
    assert Attempt.objects.filter(state=Attempt.State.SUCCEEDED).count() == 3


@pytest.mark.django_db(transaction=True)
def test_hundred_devices_that_close_at_once_are_counted_exactly() -> None:
    old, new = make_variant("1.0.0"), make_variant("1.1.0")
    count = 100 if connection.vendor == "postgresql" else 16
    devices = [make_device() for _ in range(count)]
    for device in devices:
        device.holds(old)
    rollout = make_rollout(new)
    stories = [messages(Script(new, rollout).story()) for _ in devices]
    for start in range(0, count, 50):  # the server of the tests takes a hundred connections in all
        pairs = list(zip(devices, stories, strict=True))[start : start + 50]
        in_threads(*[lambda d=d, s=s: record_events(device=d.row, events=s) for d, s in pairs])
    rollout.refresh_from_db()
    progress = progress_of(rollout)
    assert (progress.succeeded, progress.pending, progress.total) == (count, 0, count)
    assert rollout.state == Rollout.State.FINISHED
    assert sum(entry.agent_bytes for entry in LedgerEntry.objects.all()) == count * 900_400


@pytest.mark.django_db(transaction=True)
def test_two_devices_that_take_one_attempt_id_share_nothing() -> None:
    new = make_variant("1.1.0")
    devices = [make_device() for _ in range(2)]
    for _ in range(3):
        attempt = uuid4()
        results: list[Any] = []

        def claim(device: EnrolledDevice, attempt: UUID = attempt, results: list[Any] = results) -> None:
            story = messages(Script(new, attempt=attempt).story())
            results.append(record_events(device=device.row, events=story))

        in_threads(*[lambda d=device: claim(d) for device in devices])
        assert sorted(result.accepted for result in results) == [0, 5]
        assert Event.objects.filter(attempt=attempt).count() == 5


def test_event_of_a_line_that_the_device_may_not_install_is_refused(versions: tuple[Variant, Variant]) -> None:
    device = make_device()
    Device.objects.filter(pk=device.row.pk).update(allowed_models=["kws"])
    accepted, repeated, refused = counts(send(device, Script(versions[1]).started()))
    assert (accepted, repeated, refused) == (0, 0, 1)
    assert not Installation.objects.exists()  # which would show the device to the line's people
