"""`smallfleet webhooks` against the real API, with a real receiver."""

import json
from collections.abc import Iterator

import pytest
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from client.cli import main
from client.commands.webhooks import KINDS
from fleet.webhooks.delivering import deliver_due
from fleet.webhooks.models import Kind, Webhook
from tests.factories.people import make_person, token_of
from tests.fleet.webhooks.receiver import Receiver

real = pytest.mark.django_db(transaction=True)


@pytest.fixture
def receiver(live_server: LiveServer, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Iterator[Receiver]:
    """A receiver on loopback, which is allowed, and an admin's token in the environment."""
    settings.SMALLFLEET_WEBHOOK_PRIVATE_NETWORKS = ["127.0.0.0/8"]
    settings.SMALLFLEET_WEBHOOK_ALLOW_HTTP = True
    monkeypatch.setenv("SMALLFLEET_SERVER", live_server.url)
    monkeypatch.setenv("SMALLFLEET_TOKEN", token_of(make_person("admin")))
    with Receiver() as running:
        yield running


@real
def test_webhook_from_creation_to_deletion(receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    def shown(*arguments: str) -> str:
        assert main(["webhooks", *arguments]) == 0
        return capsys.readouterr().out

    created = shown("create", receiver.url, "--kind", "version_yanked", "--kind", "device_enrolled")
    assert "secret: sfw_" in created
    pk = str(Webhook.objects.get().pk)
    assert f"id: {pk}\n" in created
    assert "device_enrolled version_yanked  yes" in shown("list")
    assert "on its way: " in shown("ping", pk)
    deliver_due()
    (delivery,) = json.loads(shown("deliveries", pk, "--json"))
    assert "ping  delivered" in shown("deliveries", pk)
    assert "on its way again" in shown("redeliver", pk, delivery["id"])
    assert "the secret before is good until" in shown("rotate", pk, "--keep-previous-h", "2")
    assert "is told of version_published" in shown("change", pk, "--kind", "version_published")
    assert "it is disabled" in shown("change", pk, "--no-enabled")
    assert "deleted" in shown("delete", pk)
    assert json.loads(shown("list", "--json")) == []


@real
def test_address_that_is_refused_is_told(receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["webhooks", "create", "https://10.0.0.1/", "--kind", "version_yanked"]) == 3
    assert "webhook-address" in capsys.readouterr().err


def test_kinds_are_those_of_the_server() -> None:
    assert set(KINDS) == set(Kind.values)
