"""What a device proves itself with: rotation without a gap, revocation, client certificates."""

import base64
import hashlib
import ssl
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from access import tokens
from access.actors import SYSTEM
from access.errors import InvalidInput
from fleet.devices.certificates import fingerprint
from fleet.devices.models import Device
from fleet.devices.services import revoke_device
from fleet.operations.checks import check_fleet_settings
from tests.factories.fleet import EnrolledDevice, in_threads, make_device, make_enrollment_token
from tests.factories.people import api_as

SAYING = {"agent_version": "0.1.0", "patch_formats": [1], "installations": []}
PROXY = "10.0.3.7"


def with_secret(secret: str, **headers: str) -> APIClient:
    return APIClient(headers={"Authorization": f"Bearer {secret}", **headers})


def poll(client: APIClient, **extra: Any) -> Any:
    return client.post("/api/v1/poll", SAYING, format="json", **extra)


def announce(client: APIClient, secret: str) -> int:
    answer = client.put("/api/v1/credential", {"next_sha256": tokens.digest(secret)}, format="json")
    return int(answer.status_code)


def new_secret() -> str:
    return tokens.new_secret(tokens.DEVICE_PREFIX)


# --- Rotation -------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_both_credentials_are_good_until_the_new_one_is_used() -> None:
    device, fresh = make_device(), new_secret()
    assert announce(device.api, fresh) == 204
    assert poll(device.api).status_code == 200
    assert announce(device.api, fresh) == 204  # the answer to the first was lost
    assert poll(with_secret(fresh)).status_code == 200
    assert poll(device.api).status_code == 401
    assert announce(with_secret(fresh), fresh) == 204  # an old message, repeated
    row = device.refresh()
    assert (row.credential_sha256, row.next_credential_sha256) == (tokens.digest(fresh), None)


@pytest.mark.django_db
def test_announced_secret_is_replaced_by_another_one() -> None:
    device, lost, fresh = make_device(), new_secret(), new_secret()
    assert announce(device.api, lost) == 204
    assert announce(device.api, fresh) == 204
    assert poll(with_secret(lost)).status_code == 401
    assert poll(device.api).status_code == 200
    assert poll(with_secret(fresh)).status_code == 200


@pytest.mark.django_db
def test_secret_of_another_device_cannot_be_announced() -> None:
    device, other, others_next = make_device(), make_device(), new_secret()
    theirs = other.credential
    assert announce(other.api, others_next) == 204
    assert announce(device.api, theirs) == 400
    assert announce(device.api, others_next) == 400
    assert device.refresh().next_credential_sha256 is None


@pytest.mark.django_db
def test_operator_asks_and_the_device_hears_it_until_it_is_done() -> None:
    device, fresh = make_device(), new_secret()
    first = poll(device.api)
    assert "rotate_credential" not in first.json()
    asked = api_as("operator").post(f"/api/v1/devices/{device.row.pk}/rotate")
    assert asked.status_code == 200
    assert asked.json()["rotation_asked_at"] is not None
    for _repeat in range(2):  # the condition of the last answer does not keep it from hearing
        answer = device.api.get("/api/v1/poll", headers={"If-None-Match": first["ETag"]})
        assert (answer.status_code, answer.json()["rotate_credential"]) == (200, True)
        assert "ETag" not in answer
    assert announce(device.api, fresh) == 204
    done = with_secret(fresh).get("/api/v1/poll", headers={"If-None-Match": first["ETag"]})
    assert done.status_code == 304


@pytest.mark.django_db
def test_old_credential_is_asked_to_be_rotated_by_itself(settings: Settings) -> None:
    device = make_device()
    for age_days, most_days, is_asked in [(89, 90, False), (91, 90, True), (91, 0, False)]:
        settings.SMALLFLEET_CREDENTIAL_DAYS = most_days
        made_at = timezone.now() - timedelta(days=age_days)
        Device.objects.filter(pk=device.row.pk).update(credential_made_at=made_at)
        assert ("rotate_credential" in poll(device.api).json()) is is_asked


@pytest.mark.django_db(transaction=True)
def test_two_first_uses_at_once_are_both_good() -> None:
    device, fresh = make_device(), new_secret()
    assert announce(device.api, fresh) == 204
    answers: list[int] = []
    in_threads(*[lambda: answers.append(poll(with_secret(fresh)).status_code)] * 4)
    assert answers == [200] * 4
    assert poll(device.api).status_code == 401


@pytest.mark.django_db
@pytest.mark.parametrize("body", [{}, {"next_sha256": "sfd_secret"}, {"next_sha256": "A" * 64}])
def test_announcement_without_a_digest_is_refused(body: dict[str, str]) -> None:
    assert make_device().api.put("/api/v1/credential", body, format="json").status_code == 400


# --- Revocation -----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_revocation_is_effective_at_the_next_poll_also_of_a_known_answer() -> None:
    device, fresh = make_device(), new_secret()
    assert announce(device.api, fresh) == 204
    etag = poll(device.api)["ETag"]
    assert device.api.get("/api/v1/poll", headers={"If-None-Match": etag}).status_code == 304
    revoke_device(actor=SYSTEM, device=device.row)
    for client in (device.api, with_secret(fresh)):
        refused = client.get("/api/v1/poll", headers={"If-None-Match": etag})
        assert (refused.status_code, refused.json()["type"]) == (401, "urn:smallfleet:problem:unauthenticated")
    assert device.api.get(f"/api/v1/artifacts/sha256/{'0' * 64}").status_code == 401


# --- Certificates ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder: Path = tmp_path_factory.mktemp("certificate")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=gate-7"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    return certificate.read_text()


def sha256_of(pem: str) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def test_certificate_is_known_in_each_form_a_proxy_writes(pem: str) -> None:
    der = ssl.PEM_cert_to_DER_cert(pem)
    forms = [f":{base64.b64encode(der).decode()}:", quote(pem, safe=""), sha256_of(pem), sha256_of(pem).upper()]
    assert {fingerprint(form) for form in forms} == {sha256_of(pem)}


@pytest.mark.parametrize("text", ["x", ":no base64:", "ab" * 31, ":" + "A" * 40_000 + ":", "%", "::x"])
def test_header_in_no_known_form_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        fingerprint(text)


@pytest.fixture
def _behind_proxy(settings: Settings) -> None:
    settings.SMALLFLEET_CLIENT_CERTIFICATE_HEADER = "Client-Cert"
    settings.SMALLFLEET_TRUSTED_PROXIES = [PROXY]


@pytest.fixture
def bound(pem: str) -> EnrolledDevice:
    """A device that enrolled without a certificate, and was bound to one by an operator."""
    device = make_device()
    url = f"/api/v1/devices/{device.row.pk}/certificate"
    answer = api_as("operator").put(url, {"sha256": sha256_of(pem)}, format="json")
    assert (answer.status_code, answer.json()["certificate_sha256"]) == (200, sha256_of(pem))
    return device


@pytest.mark.django_db
@pytest.mark.usefixtures("_behind_proxy")
def test_bound_device_is_refused_without_its_certificate(bound: EnrolledDevice, pem: str) -> None:
    def status(*, header: str | None, address: str) -> int:
        headers = {} if header is None else {"Client-Cert": header}
        return int(poll(bound.api, headers=headers, REMOTE_ADDR=address).status_code)

    assert status(header=sha256_of(pem), address=PROXY) == 200
    assert status(header=None, address=PROXY) == 401
    assert status(header="f" * 64, address=PROXY) == 401
    assert status(header=sha256_of(pem), address="192.0.2.66") == 401, "anybody may write the header"


@pytest.mark.django_db
@pytest.mark.usefixtures("_behind_proxy")
def test_certificate_alone_identifies_its_device_through_the_proxy_only(bound: EnrolledDevice, pem: str) -> None:
    assert poll(bound.api, headers={"Client-Cert": sha256_of(pem)}, REMOTE_ADDR=PROXY).status_code == 200
    anonymous = APIClient(headers={"Client-Cert": sha256_of(pem)})
    assert anonymous.get("/api/v1/poll", REMOTE_ADDR=PROXY).status_code == 200
    assert anonymous.get("/api/v1/poll", REMOTE_ADDR="192.0.2.66").status_code == 401
    stranger = APIClient(headers={"Client-Cert": "f" * 64})
    assert stranger.get("/api/v1/poll", REMOTE_ADDR=PROXY).status_code == 401
    revoke_device(actor=SYSTEM, device=bound.row)
    assert anonymous.get("/api/v1/poll", REMOTE_ADDR=PROXY).status_code == 401


@pytest.mark.django_db
def test_certificates_do_not_count_unless_they_are_configured(
    bound: EnrolledDevice, pem: str, settings: Settings
) -> None:
    settings.SMALLFLEET_TRUSTED_PROXIES = [PROXY]
    assert poll(bound.api, REMOTE_ADDR=PROXY).status_code == 200
    anonymous = APIClient(headers={"Client-Cert": sha256_of(pem)})
    assert anonymous.get("/api/v1/poll", REMOTE_ADDR=PROXY).status_code == 401


@pytest.mark.django_db
@pytest.mark.usefixtures("_behind_proxy")
def test_device_enrolls_with_its_certificate_and_two_cannot_share_one(pem: str) -> None:
    def enroll(address: str) -> Any:
        body = {"token": make_enrollment_token()[1], "name": "gate"}
        headers = {"Client-Cert": quote(pem, safe="")}
        return APIClient().post("/api/v1/enroll", body, format="json", headers=headers, REMOTE_ADDR=address)

    first = enroll(PROXY)
    assert first.status_code == 201
    row = Device.objects.get(pk=first.json()["device_id"])
    assert row.certificate_sha256 == sha256_of(pem)
    taken = enroll(PROXY)
    assert (taken.status_code, taken.json()["type"]) == (409, "urn:smallfleet:problem:certificate-taken")
    unheard = enroll("192.0.2.66")
    assert Device.objects.get(pk=unheard.json()["device_id"]).certificate_sha256 is None
    revoke_device(actor=SYSTEM, device=row)
    assert enroll(PROXY).status_code == 201, "the certificate of a revoked device is free"


@pytest.mark.django_db
def test_operator_cannot_bind_two_devices_to_one_certificate(bound: EnrolledDevice, pem: str) -> None:
    other, operator = make_device(), api_as("operator", "second-operator")
    url = f"/api/v1/devices/{other.row.pk}/certificate"
    assert operator.put(url, {"sha256": sha256_of(pem)}, format="json").status_code == 409
    assert operator.put(url, {"sha256": None}, format="json").status_code == 200
    assert api_as("viewer").put(url, {"sha256": None}, format="json").status_code == 403


# --- Settings -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "id_"),
    [
        ("SMALLFLEET_RATES", {"poll": "often"}, "smallfleet.fleet.E006"),
        ("SMALLFLEET_CLIENT_CERTIFICATE_HEADER", "Client-Cert", "smallfleet.fleet.E007"),
    ],
)
def test_setting_that_would_shut_devices_out_is_named_at_the_start(
    name: str, value: object, id_: str, settings: Settings
) -> None:
    assert check_fleet_settings(None) == []
    setattr(settings, name, value)
    assert [message.id for message in check_fleet_settings(None)] == [id_]
