"""The pages by which devices come in."""

import re
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from rest_framework.test import APIClient

from agent.trust.pins import split
from fleet.devices.enrollment_text import enrollment_text
from fleet.devices.models import Device, EnrollmentSerial, EnrollmentToken
from registry.models import ModelLine
from tests.factories.fleet import make_device, make_enrollment_token, make_group, make_link_class
from tests.factories.people import make_person
from tests.factories.trust import trust_line

TOKEN = re.compile(r"sfe_[A-Za-z0-9_:=.-]+")


@pytest.fixture
def operator() -> Client:
    client = Client()
    client.force_login(make_person("operator"))
    return client


def enroll(secret: str, name: str = "gate", **body: Any) -> Device:
    answer = APIClient().post("/api/v1/enroll", {"token": secret, "name": name, **body}, format="json")
    assert answer.status_code == 201, answer.content
    return Device.objects.get(pk=answer.json()["device_id"])


def told(answer: Any) -> list[str]:
    return [str(message) for message in get_messages(answer.wsgi_request)]


def wish(**changes: Any) -> dict[str, Any]:
    return {"name": "first devices", "mode": "open", "uses": "3", "hours": "48", **changes}


@pytest.mark.django_db
def test_token_is_made_by_the_form_and_shown_once_with_its_pins(operator: Client) -> None:
    signed = trust_line(ModelLine.objects.create(name="digits"))
    make_group("gates", "site=berlin")
    make_link_class("lte")
    form = wish(
        models=["digits"], group=make_group("doors", "site=lyon,role=door").pk, attributes="floor=2, side = north"
    )
    page = operator.post(reverse("new-enrollment-token"), form)
    assert page.status_code == 200, told(page)
    text = split(TOKEN.search(page.content.decode()).group())  # type: ignore[union-attr]
    assert set(text.pins) == {"digits"}
    assert signed.root.version == 1
    row = EnrollmentToken.objects.get()
    assert row.attributes == {"site": "lyon", "role": "door", "floor": "2", "side": "north"}
    assert (row.uses, row.allowed_models, row.group.name if row.group else "") == (3, ["digits"], "doors")
    assert enroll(text.secret).fixed_attributes == row.attributes
    for path in (reverse("enrollment-tokens"), reverse("enrollment-token", args=[row.pk])):
        shown = operator.get(path)
        assert "first devices" in shown.content.decode()
        assert text.secret not in shown.content.decode()


def test_text_is_read_by_the_agent_as_it_is_written() -> None:
    roots = {"digits": "ab" * 32, "keyword-spotter": "01" * 32}
    read = split(enrollment_text("sfe_" + "x" * 43, roots))
    assert (read.secret, dict(read.pins)) == ("sfe_" + "x" * 43, roots)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": ""}, "This field is required"),
        ({"hours": "99999"}, "less than or equal to 720"),
        ({"hours": "0"}, "greater than or equal to 1"),
        ({"uses": "-1"}, "greater than or equal to 1"),
        ({"mode": "magic"}, "not one of the available choices"),
        ({"models": ["nothing"]}, "not one of the available choices"),
        ({"attributes": "site"}, "write key=value"),
        ({"attributes": "1=x"}, "is no key"),
        ({"serials": "SN-1"}, "serials are for tokens of the mode serials"),
        ({"mode": "serials", "serials": "x" * 101}, "at most 100 characters"),
    ],
)
def test_form_says_what_is_wrong_and_makes_nothing(changes: dict[str, Any], says: str, operator: Client) -> None:
    page = operator.post(reverse("new-enrollment-token"), wish(**changes))
    assert page.status_code in (400, 409)
    assert says in page.content.decode()
    assert not EnrollmentToken.objects.exists()


@pytest.mark.django_db
def test_serials_are_pasted_in_and_show_who_used_them(operator: Client) -> None:
    token, secret = make_enrollment_token(mode="serials", serials=["SN-0"])
    path = reverse("enrollment-token", args=[token.pk])
    answer = operator.post(path, {"serials": " SN-1\r\n\r\nSN-2 \nSN-1"})
    assert (answer.status_code, answer["Location"]) == (302, path)
    assert set(EnrollmentSerial.objects.values_list("serial", flat=True)) == {"SN-0", "SN-1", "SN-2"}
    enroll(secret, "door-3", serial="SN-2")
    page = operator.get(path).content.decode()
    assert "door-3" in page
    assert page.count("not yet") == 2
    assert operator.post(path, {"serials": ""}).status_code == 400


@pytest.mark.django_db
def test_revoked_token_admits_nobody(operator: Client) -> None:
    token, secret = make_enrollment_token(uses=2)
    operator.post(reverse("revoke-enrollment-token", args=[token.pk]))
    refused = APIClient().post("/api/v1/enroll", {"token": secret, "name": "gate"}, format="json")
    assert refused.status_code == 403
    assert "revoked" in operator.get(reverse("enrollment-tokens")).content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize(("verb", "left"), [("approve", 2), ("reject", 1)])
def test_ticked_devices_are_decided_and_the_others_wait(verb: str, left: int, operator: Client) -> None:
    secret = make_enrollment_token(mode="approval", uses=2)[1]
    one, other = enroll(secret, "one"), enroll(secret, "other")
    page = operator.get(reverse("pending-devices")).content.decode()
    assert ">one<" in page
    assert ">other<" in page
    answer = operator.post(reverse("pending-devices"), {"verb": verb, "devices": [str(one.pk)]})
    assert (answer.status_code, told(answer)[0][:8]) == (302, "1 device")
    assert Device.objects.count() == left
    other.refresh_from_db()
    assert other.pending_until is not None


@pytest.mark.django_db
@pytest.mark.parametrize("body", [{}, {"verb": "approve"}, {"verb": "approve", "devices": ["x"]}, {"verb": "eat"}])
def test_decision_on_nothing_asks_to_tick(body: dict[str, Any], operator: Client) -> None:
    answer = operator.post(reverse("pending-devices"), body)
    assert told(answer) == ["Tick the devices, then approve or reject them."]


@pytest.mark.django_db
def test_operator_of_a_group_decides_only_on_its_devices() -> None:
    make_group("berlin", "site=berlin")
    make_group("lyon", "site=lyon")
    berlin = enroll(make_enrollment_token(mode="approval", attributes={"site": "berlin"})[1], "berlin-gate")
    # It says that it is in Berlin; its token says Lyon.
    lyon = enroll(
        make_enrollment_token(mode="approval", attributes={"site": "lyon"})[1],
        "lyon-gate",
        attributes={"site": "berlin"},
    )
    client = Client()
    client.force_login(make_person("operator@berlin"))
    page = client.get(reverse("pending-devices")).content.decode()
    assert ("berlin-gate" in page, "lyon-gate" in page) == (True, False)
    both = {"verb": "approve", "devices": [str(berlin.pk), str(lyon.pk)]}
    client.post(reverse("pending-devices"), both)
    assert not Device.objects.filter(pending_until=None).exists(), "one that is not theirs spoils all"
    client.post(reverse("pending-devices"), {"verb": "approve", "devices": [str(berlin.pk)]})
    assert list(Device.objects.filter(pending_until=None)) == [berlin]
    for name in ("rotate-device", "revoke-device", "device-certificate"):
        assert client.post(reverse(name, args=[lyon.pk]), {"sha256": ""}).status_code == 404


@pytest.mark.django_db
def test_buttons_of_a_device_do_what_they_say(operator: Client) -> None:
    device = make_device().row
    page = operator.get(reverse("device", args=[device.pk])).content.decode()
    assert "Ask for a new credential" in page
    operator.post(reverse("rotate-device", args=[device.pk]))
    colons = ":".join(["AB"] * 32)
    answer = operator.post(reverse("device-certificate", args=[device.pk]), {"sha256": f"sha256 Fingerprint={colons}"})
    assert answer.status_code == 302
    device.refresh_from_db()
    assert (device.rotation_asked_at is not None, device.certificate_sha256) == (True, "ab" * 32)
    wrong = operator.post(reverse("device-certificate", args=[device.pk]), {"sha256": "abc"})
    assert "64 hexadecimal digits" in told(wrong)[-1]
    operator.post(reverse("device-certificate", args=[device.pk]), {"sha256": ""})
    operator.post(reverse("revoke-device", args=[device.pk]))
    device.refresh_from_db()
    assert (device.is_active, device.certificate_sha256) == (False, None)
    assert "Ask for a new credential" not in operator.get(reverse("device", args=[device.pk])).content.decode()


@pytest.mark.django_db
def test_viewer_sees_none_of_these_pages_and_presses_none_of_the_buttons() -> None:
    client = Client()
    client.force_login(make_person("viewer"))
    token, device = make_enrollment_token()[0], make_device().row
    for path in ("/enrollment/", "/enrollment/new/", f"/enrollment/{token.pk}/", "/devices/pending/"):
        assert client.get(path).status_code == 403
    for path in (f"/devices/{device.pk}/rotate/", f"/devices/{device.pk}/revoke/", f"/enrollment/{token.pk}/revoke/"):
        assert client.post(path).status_code == 403
    page = client.get(f"/devices/{device.pk}/").content.decode()
    assert "Ask for a new credential" not in page


@pytest.mark.django_db
def test_pages_cost_as_many_queries_with_many_rows_as_with_few(operator: Client) -> None:
    def queries(path: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert operator.get(path).status_code == 200
        return len(captured)

    def fill(count: int) -> str:
        make_group(f"group-{count}", f"site=s{count}")
        for _ in range(count):
            make_enrollment_token(link_class=make_link_class("lte"))
        secret = make_enrollment_token(mode="approval", uses=count)[1]
        for number in range(count):
            enroll(secret, f"{count}-{number}")
        token = make_enrollment_token(mode="serials", serials=[f"{count}-{n}" for n in range(count)])
        enroll(token[1], serial=f"{count}-0")
        return reverse("enrollment-token", args=[token[0].pk])

    few = fill(1)
    before = [queries(path) for path in ("/enrollment/", "/devices/pending/", few)]
    many = fill(20)
    assert [queries(path) for path in ("/enrollment/", "/devices/pending/", many)] == before
