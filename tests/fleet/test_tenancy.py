"""What grants for a model line or a group show and change, and that a device says itself into nobody's sight."""

import json

import pytest
from django.test import Client

from access.actors import actor_of_user
from fleet.devices.models import Device, EnrollmentToken, Installation
from fleet.devices.visibility import visible_devices
from fleet.rollouts.models import Rollout
from registry.models import Variant
from tests.access.world import QUARTERS, World, make_world
from tests.factories.fleet import make_device, make_group
from tests.factories.people import make_person, token_of
from tests.factories.registry import contract_bytes, digest, onnx_model

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(db: None) -> World:
    return make_world()


def api(grants: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {token_of(make_person(grants, 'asker'))}"})


def names(client: Client, address: str, field: str = "name") -> set[str]:
    answer = client.get(f"/api/v1/{address}")
    assert answer.status_code == 200, answer.content
    return {row[field] for row in answer.json()["results"]}


@pytest.mark.parametrize(
    ("grants", "seen"),
    [
        ("viewer", {f"{line}-{group}" for line, group in QUARTERS}),
        ("viewer:digits", {"digits-berlin", "digits-lyon"}),
        ("viewer@berlin", {"digits-berlin", "kws-berlin"}),
        ("viewer:digits@berlin", {"digits-berlin"}),
        ("viewer:digits@berlin viewer:kws@lyon", {"digits-berlin", "kws-lyon"}),
    ],
)
def test_lists_show_what_is_granted_and_nothing_else(world: World, grants: str, seen: set[str]) -> None:
    client = api(grants)
    devices = {name for name in names(client, "devices") if not name.startswith("pending-")}
    assert devices == seen
    rollouts = {(row["model"], row["group"]) for row in client.get("/api/v1/rollouts").json()["results"]}
    assert {f"{line}-{group}" for line, group in rollouts} == seen
    assert names(client, "models") == {name.partition("-")[0] for name in seen}


def test_device_shows_only_the_model_lines_that_are_granted(world: World) -> None:
    device = world.devices["digits", "berlin"]
    Device.objects.filter(pk=device.row.pk).update(allowed_models=[])
    device.refresh()
    device.holds_all({line: world.variants[line] for line in ("digits", "kws")})
    shown = api("viewer:digits").get(f"/api/v1/devices/{device.row.pk}").json()
    assert [one["model"] for one in shown["installations"]] == ["digits"]


def test_device_names_no_model_line_that_is_not_granted_as_one_that_it_may_install(world: World) -> None:
    device = world.devices["digits", "berlin"].row
    Device.objects.filter(pk=device.pk).update(allowed_models=["digits", "kws"])
    for grants, named in (("viewer:digits", ["digits"]), ("viewer", ["digits", "kws"])):
        person = make_person(grants, grants.replace(":", "-"))
        client = Client(headers={"Authorization": f"Bearer {token_of(person)}"})
        assert client.get(f"/api/v1/devices/{device.pk}").json()["models"] == named
        (row,) = client.get(f"/api/v1/devices?name={device.name}").json()["results"]
        assert row["models"] == named
        browser = Client()
        browser.force_login(person)
        assert (f"<dd>{', '.join(named)}</dd>") in browser.get(f"/devices/{device.pk}/").content.decode()


def test_filter_tells_nothing_of_lines_and_groups_that_are_not_granted(world: World) -> None:
    client = api("viewer:digits@berlin")
    assert names(client, "devices?model=kws") == set()
    assert client.get("/api/v1/devices?group=lyon").status_code == 404
    assert client.get("/api/v1/models/digits/costs?group=lyon").status_code == 404


def test_costs_and_figures_count_the_devices_that_are_seen(world: World) -> None:
    everybody = api("viewer").get("/api/v1/models/digits/costs").json()
    berlin = Client(headers={"Authorization": f"Bearer {token_of(make_person('viewer@berlin', 'b'))}"})
    assert everybody["variants"][0]["devices"] == 2
    assert berlin.get("/api/v1/models/digits/costs").json()["variants"][0]["devices"] == 1
    (series,) = berlin.get("/api/v1/models/digits/benchmarks").json()["series"]
    assert series["runs"] == 1


# --- What devices say -----------------------------------------------------------------------------------------------


def test_device_says_itself_into_nobodys_sight(world: World) -> None:
    make_group("class-pi5", "device_class=pi5")
    liar = make_device("liar", attributes={"site": "berlin"}, device_class="pi5")
    assert liar.row.attributes["site"] == "berlin"
    for grants in ("viewer@berlin", "viewer@class-pi5"):
        actor = actor_of_user(make_person(grants))
        assert not visible_devices(actor).filter(pk=liar.row.pk).exists()
    assert api("operator@berlin").post(f"/api/v1/devices/{liar.row.pk}/revoke").status_code == 404


def test_rollout_of_a_groups_operator_reaches_no_device_that_only_says_it_is_there(world: World) -> None:
    liar = make_device("liar", attributes={"site": "berlin"})
    liar.holds(None, line="digits")
    wish = {
        "model": "digits",
        "version": "1.0.0",
        "variant": world.variants["digits"].name,
        "group": "berlin",
        "start": True,
    }
    made = api("operator@berlin").post("/api/v1/rollouts", json.dumps(wish), content_type="application/json")
    assert (made.status_code, made.json()["by_fixed_attributes"]) == (201, True)
    reached = set(Installation.objects.filter(rollout=made.json()["id"]).values_list("device__name", flat=True))
    assert reached == {"digits-berlin"}
    late = make_device("late", attributes={"site": "berlin"})
    assert late.holds(None, line="digits").rollout_id is None


def test_rollout_that_reaches_more_than_the_group_is_seen_and_not_changed(world: World) -> None:
    wide = Rollout.objects.create(target=world.variants["digits"], group=world.groups["berlin"])
    every = Rollout.objects.create(target=world.variants["digits"])
    client = api("operator@berlin")
    assert client.get(f"/api/v1/rollouts/{wide.pk}").status_code == 200
    refused = client.post(f"/api/v1/rollouts/{wide.pk}/pause", content_type="application/json")
    assert (refused.status_code, "only say they are in" in refused.json()["detail"]) == (403, True)
    assert client.get(f"/api/v1/rollouts/{every.pk}").status_code == 404
    assert Rollout.objects.get(pk=wide.pk).state == "draft"


# --- Bulk actions, and what moves a device ---------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_bulk_action_with_one_foreign_device_does_nothing_at_all(world: World, verb: str) -> None:
    waiting = Device.objects.exclude(pending_until=None)
    both = {"devices": [str(world.pending[group].row.pk) for group in ("berlin", "lyon")]}
    client = api("operator@berlin")
    answer = client.post(f"/api/v1/devices/{verb}", json.dumps(both), content_type="application/json")
    assert (answer.status_code, waiting.count()) == (404, 2)
    own = {"devices": both["devices"][:1]}
    assert client.post(f"/api/v1/devices/{verb}", json.dumps(own), content_type="application/json").json() == {
        "decided": 1
    }
    assert waiting.count() == 1


def test_enrollment_token_puts_devices_into_ones_own_group_or_is_not_made(world: World) -> None:
    client = api("operator@berlin")
    before = EnrollmentToken.objects.count()
    for attributes in ({}, {"site": "lyon"}, {"region": "berlin"}):
        wish = json.dumps({"name": "x", "attributes": attributes})
        assert client.post("/api/v1/enrollment-tokens", wish, content_type="application/json").status_code == 403
    assert EnrollmentToken.objects.count() == before
    by_group = json.dumps({"name": "x", "group": "berlin"})
    assert client.post("/api/v1/enrollment-tokens", by_group, content_type="application/json").status_code == 201
    # Of a group of others neither that it is there nor what it asks for.
    for group in ("lyon", "nowhere"):
        foreign = json.dumps({"name": "x", "group": group, "attributes": {"site": "berlin"}})
        refused = client.post("/api/v1/enrollment-tokens", foreign, content_type="application/json")
        assert (refused.status_code, refused.json()["detail"]) == (404, f"there is no group {group!r}")


def test_link_class_that_would_move_a_device_out_of_the_group_is_refused(world: World) -> None:
    make_group("metered", "site=berlin,link_class!=lte")
    client = api("operator@metered")
    address = f"/api/v1/devices/{world.devices['digits', 'berlin'].row.pk}"
    assert client.get(address).status_code == 200
    moved = client.patch(address, json.dumps({"link_class": "lte"}), content_type="application/json")
    assert (moved.status_code, client.get(address).status_code) == (403, 200)


# --- Bytes ----------------------------------------------------------------------------------------------------------


def test_publisher_refers_to_bytes_of_other_lines_only_after_sending_them(world: World) -> None:
    client = api("publisher:digits")
    secret: Variant = world.variants["kws"]
    address = "/api/v1/models/digits/versions/2.0.0/variants/stolen"
    wish = json.dumps({"sha256": secret.artifact.sha256})
    refused = client.put(address, wish, content_type="application/json")
    assert refused.json()["type"] == "urn:smallfleet:problem:artifact-unknown"
    content = onnx_model(sum(map(ord, "kws1.0.0")))
    assert digest(content) == secret.artifact.sha256
    sent = client.put(
        f"/api/v1/artifacts/sha256/{secret.artifact.sha256}?kind=model",
        content,
        content_type="application/octet-stream",
    )
    assert sent.status_code == 200
    taken = client.put(address, wish, content_type="application/json")
    assert taken.json().get("type") != refused.json()["type"]


def test_names_of_other_lines_are_not_told_in_the_list_of_patches(world: World) -> None:
    from tests.factories.fleet import make_patch

    make_patch(world.variants["kws"].artifact, world.variants["digits"].artifact)
    assert "kws/1.0.0" in api("viewer").get("/api/v1/models/digits/deltas").content.decode()
    restricted = Client(headers={"Authorization": f"Bearer {token_of(make_person('viewer:digits', 'd'))}"})
    shown = restricted.get("/api/v1/models/digits/deltas").content.decode()
    assert world.variants["kws"].artifact.sha256 in shown
    assert "kws/" not in shown


def test_contract_of_another_line_is_bytes_of_another_line(world: World) -> None:
    kws = world.variants["kws"].version.contract.sha256
    wish = json.dumps({"contract_sha256": kws})
    answer = api("publisher:digits").put("/api/v1/models/digits/versions/3.0.0", wish, content_type="application/json")
    assert answer.json()["type"] == "urn:smallfleet:problem:artifact-unknown"
    assert digest(contract_bytes(note="kws 1.0.0")) == kws
