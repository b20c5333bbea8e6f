"""Polls: what a device is told, when it is told nothing, and what that costs the server."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from access.actors import SYSTEM
from fleet.devices.models import Device, Installation
from fleet.rollouts.models import CohortMember, Rollout
from fleet.rollouts.poll import (
    PENDING_POLL_AFTER_S,
    File,
    InstallationState,
    Target,
    Tolerances,
    etag_matches,
    poll_answer,
    poll_etag,
)
from fleet.rollouts.services import abort_rollout, pause_rollout
from registry.deltas.formats import BUILT_FORMAT
from registry.deltas.queries import Way
from registry.models import MetadataFile, ModelLine
from registry.trust.services import accept_targets, renew_metadata
from tests.factories.fleet import EnrolledDevice, make_device, make_patch, make_rollout, make_variant, sha
from tests.factories.registry import withdraw_version
from tests.factories.trust import target_of, trust_line

TARGET = Target("1.1.0", "fp32", File("t" * 64, 900), File("c" * 64, 50), None, Tolerances(atol=0.001))
WAYS = [Way("packed", "p" * 64, 700, format=1), Way("delta", "d" * 64, 60, base="b" * 64, format=1)]


def saying(*held: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "agent_version": "0.1.0",
        "patch_formats": [BUILT_FORMAT],
        "device_class": "pi5",
        "attributes": {"site": "berlin"},
        "installations": list(held),
        **changes,
    }


def digits(current: str | None = None, previous: str | None = None) -> dict[str, Any]:
    return {"model": "digits", "current": current, "previous": previous}


def say(device: EnrolledDevice, *held: dict[str, Any], **changes: Any) -> Any:
    answer = device.api.post("/api/v1/poll", saying(*held, **changes), format="json")
    assert answer.status_code == 200, answer.content
    return answer


def ask(device: EnrolledDevice, etag: str = "") -> Any:
    return device.api.get("/api/v1/poll", headers={"If-None-Match": etag} if etag else {})


# --- The pure answer ------------------------------------------------------------------------------------------------


def test_answer_sorts_ways_by_bytes_and_always_has_raw() -> None:
    state = InstallationState("digits", TARGET, "r", ways=WAYS, wait_for_delta_s=600)
    answer = poll_answer([state], poll_after_s=60)
    assert [way["way"] for way in answer["installations"][0]["ways"]] == ["delta", "packed", "raw"]
    assert answer["installations"][0]["ways"][2] == {"way": "raw", "sha256": "t" * 64, "size_bytes": 900}
    assert answer["poll_after_s"] == 60


def test_answer_without_target_tells_to_keep() -> None:
    (told,) = poll_answer([InstallationState("digits")], poll_after_s=60)["installations"]
    assert (told["action"], told["target"], told["ways"], told["rollout"]) == ("install", None, [], None)


def test_device_that_waits_for_a_delta_looks_again_soon() -> None:
    state = InstallationState("digits", TARGET, "r", delta_pending=True)
    assert poll_answer([state], poll_after_s=900)["poll_after_s"] == PENDING_POLL_AFTER_S
    assert poll_answer([state], poll_after_s=5)["poll_after_s"] == 5


def test_etag_covers_the_answer_and_the_saying_but_not_the_interval() -> None:
    states = [InstallationState("digits", TARGET, "r")]
    etag = poll_etag(poll_answer(states, poll_after_s=60), said_sha256="x")
    assert etag == poll_etag(poll_answer(states, poll_after_s=900), said_sha256="x")
    assert etag != poll_etag(poll_answer(states, poll_after_s=60), said_sha256="y")
    held = [InstallationState("digits", TARGET, "r", on_hold=True)]
    assert etag != poll_etag(poll_answer(held, poll_after_s=60), said_sha256="x")


@pytest.mark.parametrize(
    ("header", "matches"),
    [('"a"', True), ('W/"a"', True), ('"b", "a"', True), ("*", True), ('"b"', False), ("", False)],
)
def test_etag_matches_as_in_rfc_9110(header: str, *, matches: bool) -> None:
    assert etag_matches(header, '"a"') is matches


# --- Over HTTP ------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_device_that_was_never_heard_is_asked_to_say_first() -> None:
    device = make_device()
    answer = ask(device)
    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:smallfleet:problem:say-first"


@pytest.mark.django_db
def test_device_says_and_then_asks_for_nothing_new() -> None:
    make_variant()
    device = make_device()
    said = say(device, digits())
    assert said.json() == {
        "poll_after_s": 60,
        "installations": [
            {
                "model": "digits",
                "action": "install",
                "rollout": None,
                "target": None,
                "ways": [],
                "policy": {"delta_pending": False, "wait_for_delta_s": 0},
                "targets_version": None,
            }
        ],
    }
    unchanged = ask(device, said["ETag"])
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert set(unchanged.headers) == {"ETag"}
    assert ask(device).json() == said.json()
    assert ask(device, '"other"').status_code == 200


@pytest.mark.django_db
def test_device_is_told_target_and_ways_of_a_started_rollout() -> None:
    old, new = make_variant("1.0.0"), make_variant("1.1.0")
    patch, packed = make_patch(old.artifact, new.artifact, 60_000), make_patch(None, new.artifact, 700_000)
    device = make_device()
    etag = say(device, digits(old.artifact.sha256))["ETag"]
    rollout = make_rollout(new, wait_for_delta_s=42)
    answer = ask(device, etag)
    assert answer.status_code == 200
    assert answer.json()["installations"] == [
        {
            "model": "digits",
            "action": "install",
            "rollout": str(rollout.pk),
            "target": {
                "version": "1.1.0",
                "variant": "fp32",
                "sha256": new.artifact.sha256,
                "size_bytes": 900_000,
                "contract": {"sha256": sha("digits/1.1.0 contract"), "size_bytes": 512},
                "sample_set": {"sha256": sha("digits/1.1.0 samples"), "size_bytes": 9_100},
                "tolerances": {"atol": 0.001, "rtol": 0.001, "min_agreement": None},
            },
            "ways": [
                {
                    "way": "delta",
                    "sha256": patch.artifact.sha256 if patch.artifact else None,
                    "size_bytes": 60_000,
                    "base": old.artifact.sha256,
                    "format": BUILT_FORMAT,
                },
                {
                    "way": "packed",
                    "sha256": packed.artifact.sha256 if packed.artifact else None,
                    "size_bytes": 700_000,
                    "format": BUILT_FORMAT,
                },
                {"way": "raw", "sha256": new.artifact.sha256, "size_bytes": 900_000},
            ],
            "policy": {"delta_pending": False, "wait_for_delta_s": 42},
            "targets_version": None,
        }
    ]


@pytest.mark.django_db
def test_ways_are_only_those_the_device_can_use() -> None:
    old, other, new = make_variant("1.0.0"), make_variant("1.0.1"), make_variant("1.1.0")
    make_patch(other.artifact, new.artifact)
    make_patch(old.artifact, new.artifact)
    device, deaf = make_device(), make_device()
    say(device, digits(old.artifact.sha256))
    say(deaf, digits(old.artifact.sha256), patch_formats=[])
    make_rollout(new)
    (told,) = ask(device).json()["installations"]
    assert [way.get("base") for way in told["ways"]] == [old.artifact.sha256, None]
    (told,) = ask(deaf).json()["installations"]
    assert [way["way"] for way in told["ways"]] == ["raw"]


@pytest.mark.django_db
def test_pending_delta_is_announced_and_the_etag_changes_when_it_is_there() -> None:
    old, new = make_variant("1.0.0"), make_variant("1.1.0")
    device = make_device()
    say(device, digits(old.artifact.sha256))
    make_rollout(new)  # asks for the patch
    waiting = ask(device)
    assert waiting.json()["installations"][0]["policy"]["delta_pending"] is True
    assert ask(device, waiting["ETag"]).status_code == 304
    old.artifact.refresh_from_db()
    new.artifact.patches.all().delete()
    make_patch(old.artifact, new.artifact)
    ready = ask(device, waiting["ETag"])
    assert ready.status_code == 200
    assert ready.json()["installations"][0]["policy"]["delta_pending"] is False


@pytest.mark.django_db
def test_paused_rollout_holds() -> None:
    old, new = make_variant("1.0.0"), make_variant("1.1.0")
    device = make_device()
    etag = say(device, digits(old.artifact.sha256))["ETag"]
    rollout = make_rollout(new)
    running = ask(device, etag)["ETag"]
    pause_rollout(actor=SYSTEM, rollout=rollout)
    held = ask(device, running)
    assert held.status_code == 200
    assert held.json()["installations"][0]["action"] == "hold"


@pytest.mark.django_db
def test_yanked_target_holds() -> None:
    old, new = make_variant("1.0.0"), make_variant("1.1.0")
    device = make_device()
    say(device, digits(old.artifact.sha256))
    make_rollout(new)
    withdraw_version(new.version)
    (told,) = ask(device).json()["installations"]
    assert told["action"] == "hold"


@pytest.mark.django_db
def test_target_that_was_signed_out_holds_until_it_is_signed_again() -> None:
    old, new = make_variant("1.0.0"), make_variant("1.1.0")
    signed = trust_line(new.version.model_line, old, new)
    device = make_device()
    say(device, digits(old.artifact.sha256))
    make_rollout(new)
    told = []
    for version, variants in ((2, [old]), (3, [old, new])):
        content = signed.next_targets(map(target_of, variants))
        accept_targets(actor=SYSTEM, model_line=new.version.model_line, version=version, content=content)
        told += ask(device).json()["installations"]
    assert [(one["targets_version"], one["action"]) for one in told] == [(2, "hold"), (3, "install")]


@pytest.mark.django_db
def test_poll_changes_with_targets_and_not_with_renewed_timestamps() -> None:
    variant = make_variant()
    line = variant.version.model_line
    signed = trust_line(line, variant)
    device = make_device()
    etag = say(device, digits(variant.artifact.sha256))["ETag"]
    MetadataFile.objects.filter(role="timestamp").update(expires_at=timezone.now())
    assert renew_metadata() == 1
    assert ask(device, etag).status_code == 304
    accept_targets(actor=SYSTEM, model_line=line, version=2, content=signed.next_targets())
    changed = ask(device, etag)
    assert changed.json()["installations"][0]["targets_version"] == 2


@pytest.mark.django_db
def test_device_already_at_the_target_costs_no_look_at_patches() -> None:
    new = make_variant("1.1.0")
    device = make_device()
    make_device().holds(None)
    say(device, digits(new.artifact.sha256))
    make_rollout(new)
    with CaptureQueriesContext(connection) as queries:
        answer = ask(device)
    assert [way["way"] for way in answer.json()["installations"][0]["ways"]] == ["raw"]
    assert len(queries) == 2


@pytest.mark.django_db
@pytest.mark.parametrize("lines", [1, 8])
def test_poll_reads_three_times_at_most_and_writes_nothing(lines: int) -> None:
    device = make_device()
    held = []
    for number in range(lines):
        old = make_variant("1.0.0", line=f"line-{number}")
        make_variant("1.1.0", line=f"line-{number}")
        held.append({"model": f"line-{number}", "current": old.artifact.sha256, "previous": None})
    say(device, *held)
    for target in list(Installation.objects.all()):
        make_rollout(target.model_line.versions.get(version="1.1.0").variants.get())
    with CaptureQueriesContext(connection) as queries:
        answer = ask(device)
    assert len(answer.json()["installations"]) == lines
    assert len(queries) <= 3, [query["sql"] for query in queries.captured_queries]
    assert all(query["sql"].startswith("SELECT") for query in queries.captured_queries)
    with CaptureQueriesContext(connection) as queries:
        assert ask(device, answer["ETag"]).status_code == 304
    assert len(queries) <= 3


@pytest.mark.django_db
def test_saying_the_same_again_writes_nothing() -> None:
    make_variant()
    device = make_device()
    say(device, digits())
    with CaptureQueriesContext(connection) as queries:
        say(device, digits())
    assert all(query["sql"].startswith("SELECT") for query in queries.captured_queries)
    assert len(queries) == 2


@pytest.mark.django_db
def test_saying_something_new_is_taken_down() -> None:
    old, new = make_variant("1.0.0"), make_variant("1.1.0")
    device = make_device()
    say(device, digits())
    say(device, digits(new.artifact.sha256, old.artifact.sha256), agent_version="0.2.0", attributes={"site": "lyon"})
    row = Installation.objects.get()
    assert (row.current, row.previous) == (new.artifact, old.artifact)
    assert (device.refresh().agent_version, device.row.attributes) == ("0.2.0", {"site": "lyon"})


@pytest.mark.django_db
def test_model_line_that_is_published_later_makes_the_server_ask_again() -> None:
    device = make_device()
    etag = say(device, digits())["ETag"]
    assert ask(device, etag).status_code == 304
    assert not Installation.objects.exists()
    ModelLine.objects.create(name="digits")
    assert ask(device, etag).status_code == 409
    assert len(say(device, digits()).json()["installations"]) == 1
    assert ask(device).status_code == 200


@pytest.mark.django_db
def test_unknown_digest_is_kept_as_it_is_said() -> None:
    make_variant()
    device = make_device()
    say(device, digits(sha("from elsewhere")))
    row = Installation.objects.get()
    assert (row.current_sha256, row.current) == (sha("from elsewhere"), None)


@pytest.mark.django_db
def test_device_that_comes_while_a_rollout_runs_joins_it_if_its_group_matches() -> None:
    from tests.factories.fleet import make_group

    new = make_variant("1.1.0")
    make_device(attributes={"site": "berlin"}).holds(None)
    rollout = make_rollout(new, group=make_group(query="site=berlin"))
    late, elsewhere = make_device(), make_device()
    told = say(late, digits()).json()["installations"][0]
    assert told["rollout"] == str(rollout.pk)
    told = say(elsewhere, digits(), attributes={"site": "lyon"}).json()["installations"][0]
    assert told["rollout"] is None
    assert rollout.members.count() == 2


@pytest.mark.django_db
def test_model_line_that_a_device_drops_leaves_the_rollout() -> None:
    new = make_variant("1.1.0")
    device, other = make_device(), make_device()
    say(device, digits())
    say(other, digits())
    rollout = make_rollout(new)
    assert say(device).json()["installations"] == []
    say(other, digits(new.artifact.sha256))
    rollout.refresh_from_db()
    assert rollout.state == Rollout.State.FINISHED
    assert rollout.members.get(installation__device=other.row).outcome == CohortMember.Outcome.THERE
    assert say(device, digits()).json()["installations"][0]["target"] is None


@pytest.mark.django_db
def test_aborted_rollout_leaves_a_device_where_it_is() -> None:
    old, new = make_variant("1.0.0"), make_variant("1.1.0")
    device = make_device()
    say(device, digits(old.artifact.sha256))
    abort_rollout(actor=SYSTEM, rollout=make_rollout(new))
    (told,) = ask(device).json()["installations"]
    assert (told["action"], told["target"]) == ("install", None)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "body",
    [
        {},
        saying(digits(), digits()),
        saying({"model": "../etc", "current": None}),
        saying(digits("xyz")),
        saying(patch_formats=["a"]),
        saying(attributes={"a": {}}),
        saying(*({"model": f"m{n}"} for n in range(65))),
        [],
    ],
)
def test_saying_with_a_wrong_shape_is_refused_and_changes_nothing(body: Any) -> None:
    device = make_device()
    answer = device.api.post("/api/v1/poll", body, format="json")
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    assert Device.objects.get().said_sha256 == ""
