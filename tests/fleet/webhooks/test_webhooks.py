"""Webhooks: what happens is written with the change, delivered signed, tried again, and given up; admins alone make them."""

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.utils import timezone
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from access.actors import SYSTEM
from access.audit.models import AuditRecord
from fleet.devices.enrollment import approve_devices, enroll_device
from fleet.rollouts.services import abort_rollout, pause_rollout
from fleet.webhooks import services
from fleet.webhooks.delivering import deliver_due, prune_deliveries
from fleet.webhooks.expiry import WARNED_BEFORE, tell_expiring_targets
from fleet.webhooks.models import Delivery, DeliveryAttempt, Kind, Webhook, WebhookEvent
from fleet.webhooks.schedule import FIRST_WAIT, GIVE_UP_AFTER, LONGEST_WAIT, next_try
from fleet.webhooks.signing import secret_of
from registry.models import MetadataFile
from registry.services import publish_version
from tests.access.test_problems import assert_problem
from tests.factories.fleet import in_threads, make_device, make_enrollment_token, make_rollout, make_variant
from tests.factories.people import api_as
from tests.factories.registry import make_line, make_version, withdraw_version
from tests.factories.registry import make_variant as add_real_variant
from tests.factories.trust import trust_line
from tests.fleet.webhooks.receiver import Received, Receiver

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
State = Delivery.State


@pytest.fixture(autouse=True)
def _loopback_allowed(settings: Settings) -> None:
    settings.SMALLFLEET_WEBHOOK_PRIVATE_NETWORKS = ["127.0.0.0/8"]
    settings.SMALLFLEET_WEBHOOK_ALLOW_HTTP = True


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def admin() -> APIClient:
    return api_as("admin")


def made(receiver: Receiver, *kinds: Kind) -> tuple[Webhook, str]:
    return services.create_webhook(actor=SYSTEM, url=receiver.url, kinds=kinds or list(Kind))


def documented_verification() -> Any:
    """`is_genuine` as docs/webhooks.md has it."""
    page = (Path(__file__).parents[3] / "docs" / "webhooks.md").read_text()
    names: dict[str, Any] = {}
    exec(page.split("```python\n")[1].split("```")[0], names)  # noqa: S102 - our own page
    return names["is_genuine"]


def is_genuine(received: Received, secret: str) -> bool:
    genuine: bool = documented_verification()(secret, received.headers["Smallfleet-Signature"], received.body)
    return genuine


def passed(span: timedelta) -> None:
    """Let time pass for what waits."""
    for delivery in Delivery.objects.filter(state=State.WAITING):
        Delivery.objects.filter(pk=delivery.pk).update(
            due_at=delivery.due_at - span, give_up_at=delivery.give_up_at - span
        )


# --- What is told -------------------------------------------------------------------------------------------------------


def told(kind: Kind) -> list[dict[str, Any]]:
    """The facts of each event of the kind, oldest first."""
    bodies = WebhookEvent.objects.filter(kind=kind).order_by("created_at").values_list("body", flat=True)
    return [
        {name: value for name, value in json.loads(body).items() if name not in {"id", "at", "kind"}} for body in bodies
    ]


def test_publishing_and_yanking_are_told(receiver: Receiver) -> None:
    made(receiver)
    version = make_version(make_line(), "1.1.0")
    variant = add_real_variant(version)
    publish_version(actor=SYSTEM, version=version)
    publish_version(actor=SYSTEM, version=version)  # nothing changes, nothing is told
    withdraw_version(version, "wrong labels")
    assert told(Kind.VERSION_PUBLISHED) == [
        {"by": "system", "model": "digits", "version": "1.1.0", "variants": [{"name": "fp32", "sha256": variant.artifact.sha256}]}
    ]  # fmt: skip
    assert told(Kind.VERSION_YANKED) == [
        {"by": "system", "model": "digits", "version": "1.1.0", "reason": "wrong labels"}
    ]


def test_each_change_of_a_rollouts_state_is_told(receiver: Receiver) -> None:
    made(receiver)
    old, new = make_variant("1.0.0"), make_variant("1.1.0")
    make_device().holds(old)
    rollout = make_rollout(new)
    pause_rollout(actor=SYSTEM, rollout=rollout)
    abort_rollout(actor=SYSTEM, rollout=rollout)
    changes = told(Kind.ROLLOUT_STATE_CHANGED)
    assert [(change["from"], change["to"]) for change in changes] == [
        ("draft", "running"), ("running", "paused"), ("paused", "aborted"),
    ]  # fmt: skip
    assert changes[0].items() >= {
        "rollout": str(rollout.pk), "model": "digits", "version": "1.1.0", "variant": "fp32", "group": None,
    }.items()  # fmt: skip


def test_devices_that_come_are_told(receiver: Receiver) -> None:
    made(receiver)
    _, secret = make_enrollment_token(mode="approval", attributes={"site": "berlin"})
    device, _ = enroll_device(token=secret, name="gate-7", device_class="pi5")
    facts = {"device": str(device.pk), "name": "gate-7", "device_class": "pi5", "attributes": {"site": "berlin"}}
    assert told(Kind.DEVICE_PENDING) == [{"by": f"device:{device.pk}", **facts}]
    assert told(Kind.DEVICE_ENROLLED) == []
    approve_devices(actor=SYSTEM, devices=[device])
    assert told(Kind.DEVICE_ENROLLED) == [{"by": "system", **facts}]


def test_targets_that_expire_within_a_week_are_told_once(receiver: Receiver) -> None:
    line = make_line()
    trust_line(line)
    targets = MetadataFile.objects.filter(role=MetadataFile.Role.TARGETS)
    soon = timezone.now() + WARNED_BEFORE - timedelta(minutes=1)
    targets.update(expires_at=soon + timedelta(hours=1))
    tell_expiring_targets()
    targets.update(expires_at=soon)
    tell_expiring_targets()  # nobody listens yet
    made(receiver)
    tell_expiring_targets()
    tell_expiring_targets()
    assert told(Kind.TARGETS_EXPIRING) == [
        {"by": "system", "model": "digits", "targets_version": 1, "expires_at": soon.isoformat()}
    ]
    assert Delivery.objects.count() == 1


def test_what_is_rolled_back_is_never_told(receiver: Receiver) -> None:
    made(receiver)
    version = make_version(make_line(), "1.1.0")
    add_real_variant(version)
    with transaction.atomic():
        publish_version(actor=SYSTEM, version=version)
        assert Delivery.objects.count() == 1
        transaction.set_rollback(True)
    assert (Delivery.objects.count(), WebhookEvent.objects.count()) == (0, 0)


def test_only_who_asked_and_is_enabled_is_told(receiver: Receiver) -> None:
    wants, _ = made(receiver, Kind.VERSION_PUBLISHED)
    made(receiver, Kind.VERSION_YANKED)
    disabled, _ = made(receiver, Kind.VERSION_PUBLISHED)
    services.update_webhook(actor=SYSTEM, webhook=disabled, enabled=False)
    make_version(make_line(), publish=True)
    assert list(Delivery.objects.values_list("webhook", flat=True)) == [wants.pk]


def test_nothing_is_written_where_nobody_listens() -> None:
    make_version(make_line(), publish=True)
    assert WebhookEvent.objects.count() == 0


# --- Delivering ---------------------------------------------------------------------------------------------------------


def test_delivery_is_signed_as_the_page_verifies_it(receiver: Receiver) -> None:
    webhook, secret = made(receiver)
    make_version(make_line(), publish=True)
    assert deliver_due() == 1
    (got,) = receiver.received
    delivery = Delivery.objects.get()
    assert is_genuine(got, secret)
    assert not is_genuine(got, secret_of(webhook.pk, "another nonce"))
    changed = Received(got.path, got.headers, got.body.replace(b"digits", b"digitz"), None)
    assert not is_genuine(changed, secret)
    assert got.headers["Content-Type"] == "application/json"
    assert got.headers["Smallfleet-Event"] == "version_published"
    assert got.headers["Smallfleet-Delivery"] == str(delivery.pk)
    assert json.loads(got.body)["kind"] == "version_published"
    assert (delivery.state, delivery.attempts) == (State.DELIVERED, 1)
    attempt = DeliveryAttempt.objects.get()
    assert (attempt.status, attempt.answer, attempt.error) == (200, "thanks", "")
    assert attempt.latency_ns > 0
    assert deliver_due() == 0


def test_old_delivery_is_not_genuine_any_more(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    _, secret = made(receiver)
    make_version(make_line(), publish=True)
    deliver_due()
    later = time.time() + 301
    monkeypatch.setattr(time, "time", lambda: later)
    assert not is_genuine(receiver.received[0], secret)


def test_both_secrets_sign_while_one_is_rotated(receiver: Receiver) -> None:
    webhook, first = made(receiver)
    webhook, second = services.rotate_secret(actor=SYSTEM, webhook=webhook)
    services.ping_webhook(actor=SYSTEM, webhook=webhook)
    deliver_due()
    assert [is_genuine(receiver.received[0], secret) for secret in (first, second)] == [True, True]
    Webhook.objects.update(previous_until=timezone.now())
    services.ping_webhook(actor=SYSTEM, webhook=webhook)
    deliver_due()
    assert [is_genuine(receiver.received[1], secret) for secret in (first, second)] == [False, True]


def test_rotation_without_patience_ends_the_old_secret_at_once(receiver: Receiver) -> None:
    webhook, first = made(receiver)
    webhook, second = services.rotate_secret(actor=SYSTEM, webhook=webhook, keep_previous=timedelta(0))
    services.ping_webhook(actor=SYSTEM, webhook=webhook)
    deliver_due()
    assert [is_genuine(receiver.received[0], secret) for secret in (first, second)] == [False, True]


def test_failed_delivery_is_tried_again_with_the_same_body_until_it_is_taken(receiver: Receiver) -> None:
    made(receiver)
    make_version(make_line(), publish=True)
    receiver.status = 503
    assert deliver_due() == 1
    assert deliver_due() == 0  # not yet
    passed(LONGEST_WAIT)
    assert deliver_due() == 1
    receiver.status = 204
    passed(LONGEST_WAIT)
    assert deliver_due() == 1
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.attempts, delivery.failures) == (State.DELIVERED, 3, 2)
    assert [attempt.status for attempt in delivery.tries.order_by("id")] == [503, 503, 204]
    assert len({got.body for got in receiver.received}) == 1
    assert len({got.headers["Smallfleet-Delivery"] for got in receiver.received}) == 1


def test_delivery_is_given_up_after_a_day_and_can_be_asked_for_again(receiver: Receiver) -> None:
    made(receiver)
    make_version(make_line(), publish=True)
    receiver.status = 500
    tries = 0
    while Delivery.objects.filter(state=State.WAITING).exists():
        passed(LONGEST_WAIT * 1.25)
        tries += deliver_due()
        assert tries < 30
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.attempts) == (State.FAILED, tries)
    receiver.status = 200
    services.redeliver(actor=SYSTEM, delivery=delivery)
    assert deliver_due() == 1
    assert Delivery.objects.get().state == State.DELIVERED


def test_one_that_does_not_answer_keeps_no_other_from_its_events(receiver: Receiver) -> None:
    with Receiver() as broken:
        broken.status = 500
        made(broken)
        made(receiver)
        for version in ("1.0.0", "1.1.0"):
            make_version(make_line(), version, publish=True)
        deliver_due()
        assert len(receiver.received) == 2
        assert [json.loads(got.body)["version"] for got in receiver.received] == ["1.0.0", "1.1.0"]


def test_address_that_leads_inside_is_refused_and_written_down(receiver: Receiver, settings: Settings) -> None:
    made(receiver)
    make_version(make_line(), publish=True)
    settings.SMALLFLEET_WEBHOOK_PRIVATE_NETWORKS = []
    deliver_due()
    attempt = DeliveryAttempt.objects.get()
    assert (attempt.status, receiver.received) == (None, [])
    assert "is not of the public internet" in attempt.error


def test_disabled_webhook_gets_nothing_until_it_is_enabled(receiver: Receiver) -> None:
    webhook, _ = made(receiver)
    make_version(make_line(), publish=True)
    services.update_webhook(actor=SYSTEM, webhook=webhook, enabled=False)
    assert deliver_due() == 0
    services.update_webhook(actor=SYSTEM, webhook=webhook, enabled=True)
    assert deliver_due() == 1


def test_delivery_that_a_dead_worker_took_is_taken_over(receiver: Receiver) -> None:
    made(receiver)
    make_version(make_line(), publish=True)
    Delivery.objects.update(due_at=timezone.now() + timedelta(seconds=90))  # taken, and never noted
    assert deliver_due() == 0
    passed(timedelta(seconds=91))
    assert deliver_due() == 1


def test_outcome_of_a_delivery_that_was_deleted_meanwhile_is_dropped(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fleet.webhooks import delivering

    made(receiver)
    make_version(make_line(), publish=True)
    really_note = delivering._note

    def note_late(*outcome: Any) -> None:
        Webhook.objects.get().delete()
        really_note(*outcome)

    monkeypatch.setattr(delivering, "_note", note_late)
    assert deliver_due() == 1
    assert DeliveryAttempt.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_two_workers_deliver_each_event_once(receiver: Receiver) -> None:
    made(receiver)
    line = make_line()
    for number in range(6):
        make_version(line, f"1.{number}.0", publish=True)

    def work() -> None:
        try:
            deliver_due()
        finally:
            connection.close()

    in_threads(work, work)
    ids = [got.headers["Smallfleet-Delivery"] for got in receiver.received]
    assert (len(ids), len(set(ids))) == (6, 6)
    assert set(Delivery.objects.values_list("state", "attempts")) == {(State.DELIVERED, 1)}


def test_old_deliveries_are_forgotten_and_what_waits_for_nobody_is_given_up(receiver: Receiver) -> None:
    webhook, _ = made(receiver)
    line = make_line()
    make_version(line, "1.0.0", publish=True)
    make_version(line, "1.1.0", publish=True)
    deliver_due()
    oldest = WebhookEvent.objects.earliest("created_at")
    WebhookEvent.objects.filter(pk=oldest.pk).update(created_at=timezone.now() - timedelta(days=31))
    make_version(line, "1.2.0", publish=True)
    services.update_webhook(actor=SYSTEM, webhook=webhook, enabled=False)
    passed(GIVE_UP_AFTER + timedelta(minutes=5))
    prune_deliveries()
    assert oldest.pk not in WebhookEvent.objects.values_list("pk", flat=True)
    assert sorted(Delivery.objects.values_list("state", flat=True)) == [State.DELIVERED, State.FAILED]


@pytest.mark.parametrize(("failures", "seconds"), [(1, 10), (2, 30), (3, 90), (7, 7200), (1000, 7200)])
def test_wait_grows_to_its_bound_with_jitter(failures: int, seconds: int) -> None:
    give_up_at = NOW + timedelta(days=1)
    waits = [next_try(failures, failed_at=NOW, give_up_at=give_up_at, random=random) for random in (0.0, 0.5, 1.0)]
    assert waits == [NOW + timedelta(seconds=seconds * share) for share in (0.75, 1.0, 1.25)]


def test_no_try_is_made_after_the_end() -> None:
    assert next_try(1, failed_at=NOW, give_up_at=NOW + FIRST_WAIT, random=0.5) == NOW + FIRST_WAIT
    assert next_try(1, failed_at=NOW, give_up_at=NOW + FIRST_WAIT, random=0.6) is None


# --- REST ---------------------------------------------------------------------------------------------------------------


def test_webhook_is_made_shown_changed_and_deleted(admin: APIClient, receiver: Receiver) -> None:
    answer = admin.post("/api/v1/webhooks", {"url": receiver.url, "kinds": ["version_yanked"]}, format="json")
    assert answer.status_code == 201, answer.content
    row = answer.json()
    assert re.fullmatch(r"sfw_[A-Za-z0-9_-]{43}", row["secret"])
    path = f"/api/v1/webhooks/{row['id']}"
    shown = admin.get(path).json()
    assert shown == {name: value for name, value in row.items() if name != "secret"}
    assert admin.get("/api/v1/webhooks").json()["results"] == [shown]
    changed = admin.patch(path, {"kinds": ["version_published", "version_published"], "enabled": False}, format="json")
    assert (changed.json()["kinds"], changed.json()["enabled"]) == (["version_published"], False)
    rotated = admin.post(f"{path}/rotate", {"keep_previous_h": 1}, format="json").json()
    assert rotated["secret"] != row["secret"]
    assert admin.delete(path).status_code == 204
    assert_problem(admin.get(path), 404, "not-found")


def test_ping_and_redelivery_stand_in_the_log(admin: APIClient, receiver: Receiver) -> None:
    webhook, secret = made(receiver, Kind.VERSION_YANKED)
    path = f"/api/v1/webhooks/{webhook.pk}"
    pinged = admin.post(f"{path}/ping")
    assert (pinged.status_code, pinged.json()["kind"], pinged.json()["state"]) == (202, "ping", "waiting")
    deliver_due()
    assert is_genuine(receiver.received[0], secret)
    again = admin.post(f"{path}/deliveries/{pinged.json()['id']}/redeliver")
    assert (again.status_code, again.json()["state"]) == (202, "waiting")
    deliver_due()
    (row,) = admin.get(f"{path}/deliveries").json()["results"]
    assert (row["state"], row["attempts"], [one["status"] for one in row["tries"]]) == ("delivered", 2, [200, 200])
    assert json.loads(row["body"])["kind"] == "ping"


@pytest.mark.parametrize(
    ("body", "slug"),
    [
        ({"url": "https://10.0.0.1/", "kinds": ["version_yanked"]}, "webhook-address"),
        ({"url": "ftp://hooks.example.org/", "kinds": ["version_yanked"]}, "webhook-address"),
        ({"url": "https://hooks.example.org/", "kinds": []}, "invalid-input"),
        ({"url": "https://hooks.example.org/", "kinds": ["ping"]}, "invalid-input"),
        ({"url": "https://hooks.example.org/" + "x" * 500, "kinds": ["version_yanked"]}, "invalid-input"),
    ],
)
def test_wish_that_cannot_be_is_a_problem(admin: APIClient, body: dict[str, Any], slug: str) -> None:
    assert_problem(admin.post("/api/v1/webhooks", body, format="json"), 400, slug)


@pytest.mark.parametrize("hours", [-1, 169, "x"])
def test_old_secret_is_kept_for_a_week_at_most(admin: APIClient, receiver: Receiver, hours: object) -> None:
    webhook, _ = made(receiver)
    path = f"/api/v1/webhooks/{webhook.pk}/rotate"
    assert_problem(admin.post(path, {"keep_previous_h": hours}, format="json"), 400, "invalid-input")


def test_delivery_of_another_webhook_is_not_found(admin: APIClient, receiver: Receiver) -> None:
    mine, _ = made(receiver)
    other, _ = made(receiver)
    delivery = services.ping_webhook(actor=SYSTEM, webhook=other)
    assert_problem(admin.post(f"/api/v1/webhooks/{mine.pk}/deliveries/{delivery.pk}/redeliver"), 404, "not-found")
    assert_problem(admin.get(f"/api/v1/webhooks/{uuid4()}/deliveries"), 404, "not-found")


@pytest.mark.parametrize("grants", ["viewer", "operator", "publisher", "operator:digits publisher:digits"])
def test_others_than_admins_are_refused(grants: str, receiver: Receiver) -> None:
    webhook, _ = made(receiver)
    api = api_as(grants)
    path = f"/api/v1/webhooks/{webhook.pk}"
    for answer in (
        api.get("/api/v1/webhooks"), api.post("/api/v1/webhooks", {}), api.get(path), api.patch(path), api.delete(path),
        api.post(f"{path}/rotate"), api.post(f"{path}/ping"), api.get(f"{path}/deliveries"),
        api.post(f"{path}/deliveries/{uuid4()}/redeliver"),
    ):  # fmt: skip
        assert_problem(answer, 403, "permission-refused")


def test_neither_database_nor_audit_record_has_a_secret(receiver: Receiver) -> None:
    webhook, first = made(receiver)
    webhook, second = services.rotate_secret(actor=SYSTEM, webhook=webhook)
    services.update_webhook(actor=SYSTEM, webhook=webhook, url=receiver.url + "&token=hunter2")
    services.delete_webhook(actor=SYSTEM, webhook=webhook)
    webhook, third = made(receiver)
    rows = json.dumps([*Webhook.objects.values(), *AuditRecord.objects.values()], default=str)
    for secret in (first, second, third, "hunter2"):
        assert secret not in rows
    origin = receiver.url.partition("/hook")[0]
    assert AuditRecord.objects.filter(action="create_webhook").earliest("pk").after["url"] == f"{origin}/…"
    assert list(AuditRecord.objects.order_by("pk").values_list("action", flat=True)) == [
        "create_webhook", "rotate_webhook_secret", "update_webhook", "delete_webhook", "create_webhook",
    ]  # fmt: skip
