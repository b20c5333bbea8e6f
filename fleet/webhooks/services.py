"""The verbs of people on webhooks."""

from collections.abc import Collection
from datetime import timedelta
from typing import TypedDict, Unpack

from django.db import transaction
from django.utils import timezone
from django.utils.crypto import get_random_string

from access.actors import Actor
from access.audit.recording import record_audit
from access.models import Scope
from fleet.webhooks.destinations import destination_of, origin_of
from fleet.webhooks.models import PING, Delivery, Webhook
from fleet.webhooks.outbox import write_event
from fleet.webhooks.schedule import GIVE_UP_AFTER
from fleet.webhooks.signing import secret_of

NONCE_CHARACTERS = 32
PREVIOUS_SECRET_KEPT = timedelta(days=1)


class WebhookChanges(TypedDict, total=False):
    """What may be changed of a webhook."""

    url: str
    kinds: Collection[str]
    enabled: bool


@transaction.atomic
def create_webhook(*, actor: Actor, url: str, kinds: Collection[str]) -> tuple[Webhook, str]:
    """Tell an address of these kinds of events from now on; returns the webhook and its secret, which is shown this once.

    Raises:
        WebhookAddress: nothing may be sent there.
    """
    actor.requires(Scope.ADMINISTER)
    _ = destination_of(url)
    webhook = Webhook.objects.create(url=url, kinds=sorted(set(kinds)), secret_nonce=_nonce())
    record_audit(actor=actor, action="create_webhook", subject=str(webhook.pk), after=_facts(webhook))
    return webhook, secret_of(webhook.pk, webhook.secret_nonce)


@transaction.atomic
def update_webhook(*, actor: Actor, webhook: Webhook, **changes: Unpack[WebhookChanges]) -> Webhook:
    """Change where, of what, or whether it is told. What waits for it goes to the new address.

    Raises:
        WebhookAddress: nothing may be sent there.
    """
    actor.requires(Scope.ADMINISTER)
    webhook = Webhook.objects.select_for_update().get(pk=webhook.pk)
    before = _facts(webhook)
    if "url" in changes:
        _ = destination_of(changes["url"])
        webhook.url = changes["url"]
    if "kinds" in changes:
        webhook.kinds = sorted(set(changes["kinds"]))
    if "enabled" in changes:
        webhook.enabled = changes["enabled"]
    webhook.save(update_fields=["url", "kinds", "enabled"])
    after = _facts(webhook)
    changed = [name for name in changes if before[name] != after[name] or name == "url"]
    if changed:
        record_audit(
            actor=actor,
            action="update_webhook",
            subject=str(webhook.pk),
            before={name: before[name] for name in changed},
            after={name: after[name] for name in changed},
        )
    return webhook


@transaction.atomic
def delete_webhook(*, actor: Actor, webhook: Webhook) -> None:
    """Tell it nothing any more, and forget its deliveries."""
    actor.requires(Scope.ADMINISTER)
    subject, before = str(webhook.pk), _facts(webhook)
    webhook.delete()
    record_audit(actor=actor, action="delete_webhook", subject=subject, before=before)


@transaction.atomic
def rotate_secret(
    *, actor: Actor, webhook: Webhook, keep_previous: timedelta = PREVIOUS_SECRET_KEPT
) -> tuple[Webhook, str]:
    """Make a new secret; returns the webhook and the secret, which is shown this once.

    For `keep_previous` deliveries are signed with both, so that the receiver may change at its leisure; zero ends the old one at once.
    """
    actor.requires(Scope.ADMINISTER)
    webhook = Webhook.objects.select_for_update().get(pk=webhook.pk)
    webhook.previous_nonce, webhook.secret_nonce = webhook.secret_nonce, _nonce()
    webhook.previous_until = timezone.now() + keep_previous
    webhook.save(update_fields=["previous_nonce", "secret_nonce", "previous_until"])
    detail = {"previous_until": webhook.previous_until}
    record_audit(actor=actor, action="rotate_webhook_secret", subject=str(webhook.pk), detail=detail)
    return webhook, secret_of(webhook.pk, webhook.secret_nonce)


@transaction.atomic
def ping_webhook(*, actor: Actor, webhook: Webhook) -> Delivery:
    """Send it an event that means nothing, whatever it asked for; a disabled one gets it once it is enabled."""
    actor.requires(Scope.ADMINISTER)
    (delivery,) = write_event(PING, actor=actor, facts={}, webhooks=[webhook])
    record_audit(actor=actor, action="ping_webhook", subject=str(webhook.pk), detail={"delivery": delivery.pk})
    return delivery


@transaction.atomic
def redeliver(*, actor: Actor, delivery: Delivery) -> Delivery:
    """Send it again now, and for another day if need be; also what was delivered."""
    actor.requires(Scope.ADMINISTER)
    now, before = timezone.now(), delivery.state
    delivery.state, delivery.failures = Delivery.State.WAITING, 0
    delivery.due_at, delivery.give_up_at = now, now + GIVE_UP_AFTER
    delivery.save(update_fields=["state", "failures", "due_at", "give_up_at"])
    record_audit(
        actor=actor,
        action="redeliver",
        subject=str(delivery.webhook_id),
        before={"state": before},
        after={"state": delivery.state},
        detail={"delivery": delivery.pk},
    )
    return delivery


def _facts(webhook: Webhook) -> dict[str, object]:
    """What may be recorded: what follows the host in an address is often the receiver's secret."""
    return {"url": f"{origin_of(webhook.url)}/…", "kinds": list(webhook.kinds), "enabled": webhook.enabled}


def _nonce() -> str:
    return get_random_string(NONCE_CHARACTERS)
