"""Enrollment and the devices' credentials."""

import threading
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from access.actors import SYSTEM
from access.models import AuditRecord
from fleet.devices.enrollment import enroll_device, forget_unanswered, revoke_enrollment_token
from fleet.devices.models import Device, EnrollmentSerial, EnrollmentToken
from fleet.devices.queries import devices_in
from fleet.devices.services import revoke_device
from fleet.errors import EnrollmentRefused
from tests.factories.fleet import in_threads, make_device, make_enrollment_token, make_group, make_link_class
from tests.factories.people import api_as

BODY = {"name": "gate-7", "device_class": "pi5", "attributes": {"site": "berlin", "floor": "2"}}


def enroll(token: str, **changes: Any) -> Any:
    return APIClient().post("/api/v1/enroll", {"token": token, **BODY, **changes}, format="json")


@pytest.mark.django_db
def test_device_enrolls_and_may_poll_with_its_credential() -> None:
    token = make_enrollment_token(link_class=make_link_class("lte"), attributes={"site": "lyon"})[1]
    answer = enroll(token)
    assert answer.status_code == 201
    body = answer.json()
    assert set(body) == {"device_id", "credential", "poll_after_s", "approved"}
    device = Device.objects.get(pk=body["device_id"])
    assert device.attributes == {"site": "lyon", "floor": "2"}  # the token's win
    assert device.link_class is not None
    assert body["credential"] not in str(Device.objects.filter(pk=device.pk).values())
    client = APIClient(headers={"Authorization": f"Bearer {body['credential']}"})
    assert client.get("/api/v1/poll").json()["type"] == "urn:smallfleet:problem:say-first"
    assert AuditRecord.objects.filter(action="enroll_device", actor=f"device:{device.pk}").exists()


@pytest.mark.django_db
def test_enrollment_token_that_has_ended_already_is_not_made() -> None:
    wish = {"name": "x", "expires_at": (timezone.now() - timedelta(hours=1)).isoformat()}
    answer = api_as("operator").post("/api/v1/enrollment-tokens", wish, format="json")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "expires_at")
    assert not EnrollmentToken.objects.exists()


@pytest.mark.django_db
def test_refused_tokens_cannot_be_told_apart_and_change_nothing() -> None:
    used_row, used = make_enrollment_token()
    assert enroll(used).status_code == 201
    expired = make_enrollment_token(expires_at=timezone.now() - timedelta(seconds=1))[1]
    revoked_row, revoked = make_enrollment_token()
    revoke_enrollment_token(actor=SYSTEM, token=revoked_row)
    answers = [enroll(token) for token in (used, expired, revoked, "sfe_wrong")]
    assert {answer.status_code for answer in answers} == {403}
    assert len({answer.content for answer in answers}) == 1
    assert answers[0].json()["type"] == "urn:smallfleet:problem:enrollment-refused"
    assert Device.objects.count() == 1
    used_row.refresh_from_db()
    assert used_row.used == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"attributes": {"1": "x"}},
        {"attributes": {"a": ["list"]}},
        {"attributes": {f"a{n}": "" for n in range(65)}},
        {"attributes": {"a": "nul\0"}},
        {"device_class": "x" * 65},
    ],
)
def test_enrollment_with_a_wrong_body_uses_nothing_up(changes: dict[str, Any]) -> None:
    row, token = make_enrollment_token()
    answer = enroll(token, **changes)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"].startswith(next(iter(changes)))
    row.refresh_from_db()
    assert row.used == 0


@pytest.mark.django_db(transaction=True)
def test_twenty_devices_race_for_five_uses() -> None:
    row, token = make_enrollment_token(uses=5)
    outcomes: list[bool] = []

    def race(number: int) -> None:
        try:
            enroll_device(token=token, name=f"racer-{number}")
            outcomes.append(True)
        except EnrollmentRefused:
            outcomes.append(False)
        finally:
            connection.close()

    threads = [threading.Thread(target=race, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [False] * 15 + [True] * 5
    assert Device.objects.count() == 5
    assert EnrollmentToken.objects.get(pk=row.pk).used == 5


@pytest.mark.django_db
def test_revoked_and_unknown_devices_are_refused_alike() -> None:
    device = make_device()
    assert device.api.get("/api/v1/poll").status_code == 409
    revoke_device(actor=SYSTEM, device=device.row)
    unknown = APIClient(headers={"Authorization": "Bearer sfd_" + "x" * 43})
    answers = [device.api.get("/api/v1/poll"), unknown.get("/api/v1/poll")]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert answers[0]["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("method", "path"), [("get", "poll"), ("post", "poll"), ("post", "events"), ("post", "reports")]
)
def test_device_routes_refuse_people_and_strangers(method: str, path: str) -> None:
    from tests.factories.people import api_as

    assert getattr(api_as("admin"), method)(f"/api/v1/{path}").status_code == 403
    assert getattr(APIClient(), method)(f"/api/v1/{path}").status_code == 401


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["devices", "rollouts", "groups", "link-classes", "enrollment-tokens", "reports"])
def test_device_may_not_use_the_routes_of_people(path: str) -> None:
    assert make_device().api.get(f"/api/v1/{path}").status_code == 403


# --- Tokens ---------------------------------------------------------------------------------------------------------------


def create(operator: APIClient, **wish: Any) -> Any:
    return operator.post("/api/v1/enrollment-tokens", {"name": "first devices", **wish}, format="json")


@pytest.mark.django_db
def test_token_is_for_one_device_and_one_day_unless_told() -> None:
    before = timezone.now()
    made = create(api_as("operator"))
    assert made.status_code == 201, made.content
    row = EnrollmentToken.objects.get(pk=made.json()["id"])
    assert (row.uses, row.mode, row.allowed_models) == (1, "open", [])
    assert timedelta(hours=24) <= row.expires_at - before < timedelta(hours=24, minutes=1)
    assert made.json()["token"] not in str(EnrollmentToken.objects.values())


@pytest.mark.django_db
def test_token_that_would_live_too_long_is_not_made(settings: Settings) -> None:
    settings.SMALLFLEET_ENROLLMENT_TOKEN_MAX_DAYS = 7
    operator = api_as("operator")
    for days, status in [(6.9, 201), (7.1, 400)]:
        answer = create(operator, expires_at=(timezone.now() + timedelta(days=days)).isoformat())
        assert answer.status_code == status
    assert answer.json()["errors"][0]["field"] == "expires_at"
    assert "7 days" in answer.json()["detail"]


@pytest.mark.django_db
def test_group_of_equalities_becomes_what_the_device_cannot_say_otherwise() -> None:
    lte = make_link_class("lte")
    group = make_group("gates", "site=berlin,role=gate,link_class=lte")
    made = create(api_as("operator"), group="gates", attributes={"floor": "2"})
    assert made.json()["attributes"] == {"site": "berlin", "role": "gate", "floor": "2"}
    body = enroll(made.json()["token"], attributes={"site": "lyon"}).json()
    client = APIClient(headers={"Authorization": f"Bearer {body['credential']}"})
    saying = {"agent_version": "1", "patch_formats": [1], "installations": [], "attributes": {"site": "paris"}}
    assert client.post("/api/v1/poll", saying, format="json").status_code == 200
    [device] = devices_in(group)
    assert (device.attributes["site"], device.link_class) == ("berlin", lte)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("query", "wish", "why"),
    [
        ("site!=berlin", {}, "no equality"),
        ("camera", {}, "no equality"),
        ("device_class=pi5", {}, "says its class itself"),
        ("site=berlin,site=lyon", {}, "cannot be berlin and lyon"),
        ("site=berlin", {"attributes": {"site": "lyon"}}, "say otherwise of ['site']"),
        ("link_class=lte", {}, "link class 'lte'"),
    ],
)
def test_group_that_cannot_be_set_on_a_device_is_no_preset(query: str, wish: dict[str, Any], why: str) -> None:
    make_group("preset", query)
    answer = create(api_as("operator"), group="preset", **wish)
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:smallfleet:problem:preset-unusable")
    assert why in answer.json()["detail"]
    assert not EnrollmentToken.objects.exists()


# --- Serials --------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_registered_serial_enrolls_once_and_no_other_at_all() -> None:
    operator = api_as("operator")
    made = create(operator, mode="serials", serials=["SN-1"]).json()
    url = f"/api/v1/enrollment-tokens/{made['id']}/serials"
    assert operator.post(url, {"serials": ["SN-1", "SN-2", "SN-2"]}, format="json").json() == {"added": 1}
    first = enroll(made["token"], serial="SN-1")
    assert first.status_code == 201
    for serial in ("SN-1", "SN-3", ""):
        refused = enroll(made["token"], serial=serial)
        assert (refused.status_code, refused.content) == (403, enroll("sfe_wrong").content)
    assert EnrollmentToken.objects.get(pk=made["id"]).used == 1, "a refused serial gives the use back"
    listed = operator.get(url).json()["results"]
    assert [(row["serial"], row["device"]) for row in listed] == [("SN-1", first.json()["device_id"]), ("SN-2", None)]
    assert operator.delete(f"{url}/SN-2").status_code == 204
    assert enroll(made["token"], serial="SN-2").status_code == 403
    assert Device.objects.get().serial == "SN-1"


@pytest.mark.django_db
def test_serials_belong_to_tokens_of_their_mode() -> None:
    operator = api_as("operator")
    assert create(operator, serials=["SN-1"]).json()["errors"][0]["field"] == "serials"
    made = create(operator).json()
    url = f"/api/v1/enrollment-tokens/{made['id']}/serials"
    assert operator.post(url, {"serials": ["SN-1"]}, format="json").status_code == 400
    assert operator.post(url, {"serials": ["x"] * 5001}, format="json").status_code == 400
    assert operator.get(f"/api/v1/enrollment-tokens/{uuid.uuid4()}/serials").status_code == 404
    assert not EnrollmentSerial.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_ten_devices_race_for_one_serial() -> None:
    token = make_enrollment_token(mode="serials", serials=["SN-1"])[1]
    outcomes: list[bool] = []

    def race() -> None:
        try:
            enroll_device(token=token, name="racer", serial="SN-1")
        except EnrollmentRefused:
            outcomes.append(False)
        else:
            outcomes.append(True)

    in_threads(*[race] * 10)
    assert sorted(outcomes) == [False] * 9 + [True]
    assert Device.objects.count() == 1


# --- Approval -------------------------------------------------------------------------------------------------------------


def pending_device() -> tuple[Device, APIClient]:
    answer = enroll(make_enrollment_token(mode="approval", attributes={"site": "berlin"})[1])
    assert (answer.status_code, answer.json()["approved"]) == (201, False)
    client = APIClient(headers={"Authorization": f"Bearer {answer.json()['credential']}"})
    return Device.objects.get(pk=answer.json()["device_id"]), client


@pytest.mark.django_db
def test_pending_device_may_do_nothing_until_it_is_approved() -> None:
    device, client = pending_device()
    operator, group = api_as("operator"), make_group()
    routes = [("get", "poll"), ("post", "poll"), ("post", "events"), ("post", "reports"), ("put", "credential"),
              ("get", f"artifacts/sha256/{'0' * 64}"), ("get", "whoami")]  # fmt: skip
    for method, route in routes:
        refused = getattr(client, method)(f"/api/v1/{route}", {}, format="json")
        assert (refused.status_code, refused.json()["type"]) == (403, "urn:smallfleet:problem:device-not-approved")
        assert int(refused["Retry-After"]) > 0
    assert not devices_in(group).exists()
    assert [row["id"] for row in operator.get("/api/v1/devices?pending=yes").json()["results"]] == [str(device.pk)]
    decided = operator.post("/api/v1/devices/approve", {"devices": [str(device.pk)]}, format="json")
    assert decided.json() == {"decided": 1}
    assert client.get("/api/v1/poll").json()["type"] == "urn:smallfleet:problem:say-first"
    assert devices_in(group).get() == device
    again = operator.post("/api/v1/devices/approve", {"devices": [str(device.pk)]}, format="json")
    assert again.json() == {"decided": 0}
    assert operator.get("/api/v1/devices?pending=yes").json()["count"] == 0


@pytest.mark.django_db
def test_rejected_device_is_forgotten_and_unknown() -> None:
    device, client = pending_device()
    working = make_device()
    operator = api_as("operator")
    both = [str(device.pk), str(working.row.pk)]
    assert operator.post("/api/v1/devices/reject", {"devices": both}, format="json").json() == {"decided": 1}
    assert client.get("/api/v1/poll").status_code == 401
    assert list(Device.objects.all()) == [working.row], "one that works is no candidate"


@pytest.mark.django_db
def test_one_unknown_device_among_many_leaves_all_undecided() -> None:
    device, _client = pending_device()
    ids = [str(device.pk), str(uuid.uuid4())]
    operator = api_as("operator")
    for verb in ("approve", "reject"):
        assert operator.post(f"/api/v1/devices/{verb}", {"devices": ids}, format="json").status_code == 404
    device.refresh_from_db()
    assert device.pending_until is not None


@pytest.mark.django_db
def test_device_that_waited_too_long_is_unknown_then_forgotten() -> None:
    device, client = pending_device()
    Device.objects.filter(pk=device.pk).update(pending_until=timezone.now() - timedelta(seconds=1))
    assert client.get("/api/v1/poll").status_code == 401
    approved = api_as("operator").post("/api/v1/devices/approve", {"devices": [str(device.pk)]}, format="json")
    assert approved.json() == {"decided": 0}
    assert forget_unanswered() == 1
    assert not Device.objects.exists()
    assert AuditRecord.objects.filter(actor="system", action="reject_device", subject=str(device.pk)).exists()


@pytest.mark.django_db
def test_so_many_wait_and_no_more(settings: Settings) -> None:
    settings.SMALLFLEET_MAX_PENDING_DEVICES = 2
    token, secret = make_enrollment_token(mode="approval", uses=5)
    assert [enroll(secret).status_code for _ in range(3)] == [201, 201, 429]
    refused = enroll(secret)
    assert refused.json()["type"] == "urn:smallfleet:problem:too-many-pending"
    assert int(refused["Retry-After"]) > 0
    token.refresh_from_db()
    assert token.used == 2
    Device.objects.update(pending_until=timezone.now())
    assert enroll(secret).status_code == 201, "who waited too long takes no room"


@pytest.mark.django_db
def test_device_without_a_token_enrolls_only_where_that_is_allowed(settings: Settings) -> None:
    refused = APIClient().post("/api/v1/enroll", BODY, format="json")
    assert (refused.status_code, refused.content) == (403, enroll("sfe_wrong").content)
    settings.SMALLFLEET_ENROLL_WITHOUT_TOKEN = True
    taken = APIClient().post("/api/v1/enroll", BODY, format="json")
    assert (taken.status_code, taken.json()["approved"]) == (201, False)
    assert enroll("sfe_wrong").status_code == 403, "a wrong token is no missing one"


# --- Limits ---------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_address_that_tries_too_often_is_told_when_to_come_back(settings: Settings) -> None:
    settings.SMALLFLEET_RATES = {**settings.SMALLFLEET_RATES, "enroll": "3/hour"}
    settings.SMALLFLEET_TRUSTED_PROXIES = ["127.0.0.1"]

    def try_from(address: str) -> Any:
        body = {"token": "sfe_wrong", **BODY}
        return APIClient().post("/api/v1/enroll", body, format="json", headers={"X-Forwarded-For": address})

    assert [try_from("192.0.2.1").status_code for _ in range(5)] == [403, 403, 403, 429, 429]
    refused = try_from("192.0.2.1")
    assert refused.json()["type"] == "urn:smallfleet:problem:too-many-requests"
    assert 1100 < int(refused["Retry-After"]) <= 1201
    assert try_from("192.0.2.2").status_code == 403, "another address behind the same proxy"


@pytest.mark.django_db
def test_header_of_an_untrusted_address_makes_no_new_asker(settings: Settings) -> None:
    settings.SMALLFLEET_RATES = {**settings.SMALLFLEET_RATES, "enroll": "3/hour"}
    body = {"token": "sfe_wrong", **BODY}
    statuses = [
        APIClient().post("/api/v1/enroll", body, format="json", headers={"X-Forwarded-For": f"192.0.2.{n}"}).status_code
        for n in range(5)
    ]
    assert statuses == [403, 403, 403, 429, 429]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("what", "method", "path"),
    [
        ("poll", "get", "poll"),
        ("poll", "post", "poll"),
        ("messages", "post", "events"),
        ("messages", "post", "reports"),
        ("messages", "put", "credential"),
        ("artifacts", "get", f"artifacts/sha256/{'0' * 64}"),
        ("artifacts", "get", "models/digits/metadata/timestamp.json"),
        ("artifacts", "get", "models/digits/metadata/news?root=0"),
        ("artifacts", "get", f"models/digits/targets/1.0.0/{'0' * 64}.fp32"),
    ],
)
def test_device_that_asks_too_often_waits_and_the_others_do_not(
    what: str, method: str, path: str, settings: Settings
) -> None:
    settings.SMALLFLEET_RATES = {**settings.SMALLFLEET_RATES, what: "2/minute"}
    hasty, other = make_device(), make_device()
    for _ in range(2):
        assert getattr(hasty.api, method)(f"/api/v1/{path}", {}, format="json").status_code != 429
    refused = getattr(hasty.api, method)(f"/api/v1/{path}", {}, format="json")
    assert (refused.status_code, refused.json()["type"]) == (429, "urn:smallfleet:problem:too-many-requests")
    assert 0 < int(refused["Retry-After"]) <= 31
    assert getattr(other.api, method)(f"/api/v1/{path}", {}, format="json").status_code != 429


@pytest.mark.django_db
def test_wrong_credentials_from_one_address_are_slowed_down_and_right_ones_are_not(settings: Settings) -> None:
    settings.SMALLFLEET_RATES = {**settings.SMALLFLEET_RATES, "refused": "3/minute"}
    device = make_device()
    guesses = [APIClient(headers={"Authorization": f"Bearer sfd_{n:043}"}) for n in range(5)]
    assert [guess.get("/api/v1/poll").status_code for guess in guesses] == [401, 401, 401, 429, 429]
    assert device.api.get("/api/v1/poll").status_code == 409, "say-first: it was let in"


@pytest.mark.django_db
def test_poll_of_a_known_device_under_its_limit_and_over_it_writes_nothing(settings: Settings) -> None:
    settings.SMALLFLEET_RATES = {**settings.SMALLFLEET_RATES, "poll": "1/minute"}
    device = make_device()
    device.holds_all({})
    for status in (200, 429, 429):
        with CaptureQueriesContext(connection) as queries:
            assert device.api.get("/api/v1/poll").status_code == status
        assert all(query["sql"].startswith("SELECT") for query in queries.captured_queries)
        assert len(queries) <= 2
