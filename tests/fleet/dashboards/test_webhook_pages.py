"""The pages of webhooks: made, tried, changed and deleted by admins, the secret shown once."""

import re
from collections.abc import Iterator

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from access.actors import SYSTEM
from access.models import Role
from fleet.webhooks.delivering import deliver_due
from fleet.webhooks.models import Delivery, Kind, Webhook
from fleet.webhooks.services import create_webhook, ping_webhook
from tests.factories.people import make_person
from tests.fleet.dashboards.conftest import ClientOf
from tests.fleet.webhooks.receiver import Receiver

pytestmark = pytest.mark.django_db
SECRET = re.compile(r"sfw_[A-Za-z0-9_-]{43}")


@pytest.fixture
def admin(client_of: ClientOf) -> Client:
    return client_of(Role.ADMIN)


@pytest.fixture
def receiver(settings: Settings) -> Iterator[Receiver]:
    settings.SMALLFLEET_WEBHOOK_PRIVATE_NETWORKS = ["127.0.0.0/8"]
    settings.SMALLFLEET_WEBHOOK_ALLOW_HTTP = True
    with Receiver() as running:
        yield running


def test_secret_is_shown_once_and_stands_nowhere_else(admin: Client, receiver: Receiver) -> None:
    made = admin.post("/webhooks/", {"url": receiver.url, "kinds": ["version_yanked"]}).content.decode()
    (first,) = SECRET.findall(made)
    webhook = Webhook.objects.get()
    rotated = admin.post(f"/webhooks/{webhook.pk}/rotate/").content.decode()
    (second,) = SECRET.findall(rotated)
    assert first != second
    assert "deliveries are signed with this one and the one before" in rotated
    for path in ("/webhooks/", f"/webhooks/{webhook.pk}/"):
        assert not SECRET.search(admin.get(path).content.decode())


def test_buttons_go_through(admin: Client, receiver: Receiver) -> None:
    webhook, _ = create_webhook(actor=SYSTEM, url=receiver.url, kinds=[Kind.VERSION_YANKED])
    path = f"/webhooks/{webhook.pk}/"
    receiver.status, receiver.answer = 500, b"<b>broken</b>"
    assert "on its way" in admin.post(f"{path}ping/", follow=True).content.decode()
    deliver_due()
    page = admin.get(path).content.decode()
    assert "the receiver answered 500" in page
    assert "&lt;b&gt;broken&lt;/b&gt;" in page
    receiver.status = 200
    admin.post(f"{path}deliveries/{Delivery.objects.get().pk}/")
    deliver_due()
    assert Delivery.objects.get().state == "delivered"
    admin.post(path, {"url": receiver.url, "kinds": ["version_published", "device_enrolled"]})
    assert Webhook.objects.get().kinds == ["device_enrolled", "version_published"]
    admin.post(f"{path}disable/")
    assert not Webhook.objects.get().enabled
    admin.post(f"{path}enable/")
    assert Webhook.objects.get().enabled
    assert admin.post(f"{path}explode/").status_code == 404
    assert admin.post(f"{path}delete/", follow=True).redirect_chain == [("/webhooks/", 302)]
    assert not Webhook.objects.exists()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"url": "https://10.0.0.1/", "kinds": ["version_yanked"]}, "is not of the public internet"),
        ({"url": "http://hooks.example.org/", "kinds": ["version_yanked"]}, "begins with https://"),
        ({"url": "https://hooks.example.org/"}, "This field is required"),
    ],
)
def test_refusal_stands_beside_the_field(admin: Client, fields: dict[str, object], words: str) -> None:
    answer = admin.post("/webhooks/", fields)
    assert answer.status_code == 400
    assert words in answer.content.decode()
    assert not Webhook.objects.exists()


@pytest.mark.parametrize("grants", ["viewer", "operator", "publisher"])
def test_others_than_admins_see_and_press_nothing(grants: str, receiver: Receiver) -> None:
    webhook, _ = create_webhook(actor=SYSTEM, url=receiver.url, kinds=[Kind.VERSION_YANKED])
    delivery = ping_webhook(actor=SYSTEM, webhook=webhook)
    client = Client()
    client.force_login(make_person(grants, "somebody"))
    path = f"/webhooks/{webhook.pk}/"
    assert {client.get(each).status_code for each in ("/webhooks/", path)} == {403}
    pressed = (
        "/webhooks/",
        path,
        f"{path}ping/",
        f"{path}rotate/",
        f"{path}delete/",
        f"{path}deliveries/{delivery.pk}/",
    )
    assert {client.post(each).status_code for each in pressed} == {403}
