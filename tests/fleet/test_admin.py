"""Django's admin shows the fleet and changes nothing."""

import pytest
from django.contrib import admin
from django.test import Client

from fleet.rollouts.recording import record_events
from tests.factories.fleet import Script, make_device, make_group, make_link_class, make_rollout, make_variant, messages
from tests.factories.people import make_person

SHOWN = [
    model._meta.label_lower.replace(".", "/")
    for model in admin.site._registry
    if model._meta.app_label in {"devices", "rollouts", "ledger", "measurements"}
]


@pytest.fixture
def staff(db: None) -> Client:
    client = Client()
    client.force_login(make_person("admin"))
    return client


@pytest.fixture
def fleet(db: None) -> None:
    device = make_device(link_class=make_link_class())
    make_group()
    old, new = make_variant("1.0.0"), make_variant("1.1.0")
    device.holds(old)
    rollout = make_rollout(new)
    record_events(device=device.row, events=messages(Script(new, rollout).story()))


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize("address", SHOWN)
def test_list_shows_and_adding_is_refused(staff: Client, address: str) -> None:
    assert staff.get(f"/admin/{address}/").status_code == 200
    assert staff.get(f"/admin/{address}/add/").status_code == 403


@pytest.mark.usefixtures("fleet")
def test_hashes_of_credentials_are_not_shown(staff: Client) -> None:
    from fleet.devices.models import Device, EnrollmentToken

    device, token = Device.objects.get(), EnrollmentToken.objects.get()
    pages = [staff.get(f"/admin/devices/device/{device.pk}/change/")]
    pages.append(staff.get(f"/admin/devices/enrollmenttoken/{token.pk}/change/"))
    for page in pages:
        assert page.status_code == 200
        assert device.credential_sha256 not in page.content.decode()
        assert token.token_sha256 not in page.content.decode()


def test_every_table_of_the_fleet_is_shown() -> None:
    assert {address.split("/")[1] for address in SHOWN} >= {
        "device", "installation", "group", "linkclass", "enrollmenttoken", "rollout", "attempt", "event", "ledgerentry",
        "benchmarkreport", "cohortmember",
    }  # fmt: skip
