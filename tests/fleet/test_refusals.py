"""Local rules that keep devices waiting: kept as they are said, counted under rollouts, and gone when they are said no more."""

from datetime import datetime
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from access.actors import SYSTEM
from access.models import Role
from fleet.devices.hearing import LocalRefusal
from fleet.devices.models import Device, Installation
from fleet.devices.services import revoke_device
from fleet.rollouts.queries import waits_of
from fleet.rollouts.recording import record_events
from registry.models import Variant
from tests.factories.fleet import EnrolledDevice, Script, make_device, make_rollout, make_variant, messages
from tests.factories.people import api_as, make_person

METERED = {"rule": "metered-link", "detail": 'eth1 is metered and metered is "never"'}


def say(device: EnrolledDevice, current: str | None, refused: Any) -> Any:
    body = {
        "agent_version": "0.1.0",
        "patch_formats": [],
        "installations": [{"model": "digits", "current": current, "previous": None, "refused": refused}],
    }
    return device.api.post("/api/v1/poll", body, format="json")


@pytest.fixture
def versions(db: None) -> tuple[Variant, Variant]:
    return make_variant("1.0.0"), make_variant("1.1.0")


def test_rule_is_kept_with_its_words_and_since_when(versions: tuple[Variant, Variant]) -> None:
    device = make_device()
    assert say(device, versions[0].artifact.sha256, METERED).status_code == 200
    row = Installation.objects.get()
    assert (row.refused_rule, row.refused_detail) == (METERED["rule"], METERED["detail"])
    shown = api_as(Role.VIEWER).get(f"/api/v1/devices/{device.row.pk}").json()["installations"][0]["refused"]
    assert (shown["rule"], shown["detail"]) == (METERED["rule"], METERED["detail"])
    assert datetime.fromisoformat(shown["since"]) == row.refused_since


def test_same_rule_for_another_reason_is_the_same_wait(versions: tuple[Variant, Variant]) -> None:
    device = make_device()
    say(device, None, METERED)
    since = Installation.objects.get().refused_since
    say(device, None, METERED | {"detail": "wlan0 is metered"})
    row = Installation.objects.get()
    assert (row.refused_since, row.refused_detail) == (since, "wlan0 is metered")
    say(device, None, {"rule": "disk-floor"})
    row.refresh_from_db()
    assert row.refused_since is not None
    assert since is not None
    assert (row.refused_rule, row.refused_detail, row.refused_since > since) == ("disk-floor", "", True)


@pytest.mark.parametrize("gone", [None, "left out"])
def test_rule_that_is_said_no_more_is_taken_away(versions: tuple[Variant, Variant], gone: str | None) -> None:
    device = make_device()
    say(device, None, METERED)
    if gone is None:
        say(device, None, None)
    else:
        device.holds(None)
    row = Installation.objects.get()
    assert (row.refused_rule, row.refused_detail, row.refused_since) == ("", "", None)
    assert api_as(Role.VIEWER).get(f"/api/v1/devices/{device.row.pk}").json()["installations"][0]["refused"] is None


def test_dropped_model_line_waits_for_nothing(versions: tuple[Variant, Variant]) -> None:
    device = make_device()
    say(device, None, METERED)
    device.holds_all({})
    assert Installation.objects.get().refused_rule == ""


def test_unchanged_rule_writes_nothing(versions: tuple[Variant, Variant]) -> None:
    device = make_device()
    say(device, None, METERED)
    with CaptureQueriesContext(connection) as queries:
        say(device, None, METERED)
    assert all(query["sql"].startswith("SELECT") for query in queries.captured_queries)


def test_long_words_are_cut_and_the_poll_is_answered(versions: tuple[Variant, Variant]) -> None:
    assert say(make_device(), None, METERED | {"detail": "x" * 5000, "later": 1}).status_code == 200
    assert Installation.objects.get().refused_detail == "x" * 200


@pytest.mark.parametrize("refused", [{"rule": ""}, {"rule": "Two Words"}, {"rule": "x" * 65}, {}, "metered-link"])
def test_rule_that_is_no_slug_is_refused(versions: tuple[Variant, Variant], refused: Any) -> None:
    assert say(make_device(), None, refused).status_code == 400
    assert not Installation.objects.exists()


def test_rollout_counts_who_of_its_cohort_waits_for_which_rule(versions: tuple[Variant, Variant]) -> None:
    old, new = versions
    devices = [make_device() for _ in range(6)]
    for device in devices:
        device.holds(old)
    rollout = make_rollout(new)
    for device, rule in zip(
        devices, ["quiet-hours", "quiet-hours", "disk-floor", "", "quiet-hours", "gone"], strict=True
    ):
        device.holds(old, refused=LocalRefusal(rule, "") if rule else None)
    revoke_device(actor=SYSTEM, device=devices[5].row)
    record_events(device=devices[4].row, events=messages(Script(new, rollout).story()))
    assert [(wait.rule, wait.devices) for wait in waits_of(rollout)] == [("quiet-hours", 2), ("disk-floor", 1)]
    shown = api_as(Role.VIEWER).get(f"/api/v1/rollouts/{rollout.pk}").json()["waiting_for"]
    first = Installation.objects.get(device=devices[0].row).refused_since
    assert [(one["rule"], one["devices"]) for one in shown] == [("quiet-hours", 2), ("disk-floor", 1)]
    assert datetime.fromisoformat(shown[0]["since"]) == first


def test_devices_are_listed_by_the_rule_that_they_wait_for(versions: tuple[Variant, Variant]) -> None:
    make_device("free").holds(versions[0])
    make_device("bound").holds(versions[0], refused=LocalRefusal("quiet-hours", "22:00-06:00"))
    found = api_as(Role.VIEWER).get("/api/v1/devices?waiting_for=quiet-hours").json()["results"]
    assert [device["name"] for device in found] == ["bound"]


def test_pages_show_which_rule_keeps_which_device(versions: tuple[Variant, Variant], client: Client) -> None:
    client.force_login(make_person(Role.VIEWER))
    device, free = make_device("gate-7"), make_device("free")
    device.holds(versions[0])
    free.holds(versions[0])
    rollout = make_rollout(versions[1])
    device.holds(versions[0], refused=LocalRefusal("quiet-hours", "22:00-06:00"))
    page = client.get(f"/rollouts/{rollout.pk}/").content.decode()
    assert "/devices/?waiting_for=quiet-hours" in page
    assert "1 device, the first" in page
    assert "waits for quiet-hours</span> 22:00-06:00" in client.get(f"/devices/{device.row.pk}/").content.decode()
    listed = client.get("/devices/?waiting_for=quiet-hours").content.decode()
    assert "gate-7" in listed
    assert ">free<" not in listed
    assert Device.objects.count() == 2
