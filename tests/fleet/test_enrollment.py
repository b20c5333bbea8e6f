"""Enrollment and the devices' credentials."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from access.actors import SYSTEM
from access.models import AuditRecord
from fleet.devices.models import Device, EnrollmentToken
from fleet.devices.services import enroll_device, revoke_device, revoke_enrollment_token
from fleet.errors import EnrollmentRefused
from tests.factories.fleet import make_device, make_enrollment_token, make_link_class
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
    assert set(body) == {"device_id", "credential", "poll_after_s", "trusted_root_sha256"}
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
