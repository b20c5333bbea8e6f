"""What the worker does: deliver what is due, give up what nobody takes, forget what is old.

Several workers may run: a delivery is taken by one conditional UPDATE, for as long as a try lasts. One that dies leaves it to another.
"""

import logging
import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F, Min
from django.utils import timezone

from fleet.webhooks.models import Delivery, DeliveryAttempt, Webhook, WebhookEvent
from fleet.webhooks.schedule import next_try
from fleet.webhooks.sending import Outcome, send
from fleet.webhooks.signing import secret_of, signature_header

log = logging.getLogger(__name__)

AT_ONCE = 8
LEASE = timedelta(seconds=90)
"""Longer than a try and the look-up of its name take."""
RUN_S = 20.0
"""The worker's other jobs wait for a run to end."""
KEPT = timedelta(days=30)
USER_AGENT = "smallfleet-webhooks"

State = Delivery.State


def deliver_due() -> int:
    """Deliver what is due, to each webhook one after the other, to several at once; returns how many tries that took."""
    stop_at, tries = time.monotonic() + RUN_S, 0
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhook") as threads:
        while time.monotonic() < stop_at and (taken := _take()):
            # The threads only speak HTTP: what they use of the database is loaded here.
            for delivery, outcome in zip(taken, threads.map(_send, taken), strict=True):
                _note(delivery, outcome)
            tries += len(taken)
    return tries


def _take() -> list[Delivery]:
    """The oldest due delivery of each of at most `AT_ONCE` webhooks, taken for `LEASE`."""
    now = timezone.now()
    due = Delivery.objects.filter(state=State.WAITING, due_at__lte=now, webhook__enabled=True)
    oldest = due.values_list("webhook").annotate(first=Min("due_at")).order_by("first")[:AT_ONCE]
    return [taken for webhook_id, first in oldest if (taken := _take_one(webhook_id, first, now + LEASE))]


def _take_one(webhook_id: UUID, due_at: datetime, until: datetime) -> Delivery | None:
    waiting = Delivery.objects.filter(webhook=webhook_id, state=State.WAITING, due_at=due_at)
    pk = waiting.values_list("pk", flat=True).first()
    if pk is None or not waiting.filter(pk=pk).update(due_at=until):
        return None  # another worker was faster
    return Delivery.objects.select_related("webhook", "event").get(pk=pk)


def _send(delivery: Delivery) -> Outcome:
    body = delivery.event.body.encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "Smallfleet-Event": delivery.event.kind,
        "Smallfleet-Delivery": str(delivery.pk),
        "Smallfleet-Signature": signature_header(secrets_of(delivery.webhook), int(time.time()), body),
        "Connection": "close",
    }
    return send(delivery.webhook.url, headers=headers, body=body)


def secrets_of(webhook: Webhook) -> Sequence[str]:
    """The secret, and the one before it while that is still good."""
    secrets = [secret_of(webhook.pk, webhook.secret_nonce)]
    if webhook.previous_until is not None and webhook.previous_until > timezone.now():
        secrets.append(secret_of(webhook.pk, webhook.previous_nonce))
    return secrets


@transaction.atomic
def _note(delivery: Delivery, outcome: Outcome) -> None:
    """Write down what came of a try, and when the next one is."""
    now = timezone.now()
    # Gone meanwhile with its webhook, or asked for again: then the newer wish stands.
    mine = Delivery.objects.filter(pk=delivery.pk, state=State.WAITING, due_at=delivery.due_at)
    if not mine.exists():
        return
    DeliveryAttempt.objects.create(
        delivery=delivery,
        at=now,
        status=outcome.status,
        latency_ns=outcome.latency_ns,
        answer=outcome.answer,
        error=outcome.error,
    )
    if not outcome.error:
        mine.update(state=State.DELIVERED, attempts=F("attempts") + 1)
        return
    again = next_try(delivery.failures + 1, failed_at=now, give_up_at=delivery.give_up_at, random=random.random())  # noqa: S311 - jitter, no secret
    state = State.WAITING if again else State.FAILED
    mine.update(state=state, due_at=again or now, attempts=F("attempts") + 1, failures=F("failures") + 1)
    log.warning(
        "webhook_not_delivered",
        extra={
            "webhook": str(delivery.webhook_id),
            "delivery": str(delivery.pk),
            "state": state,
            "error": outcome.error,
        },
    )


def prune_deliveries() -> None:
    """Give up what waited for a disabled webhook too long, and forget what is older than `KEPT`."""
    now = timezone.now()
    Delivery.objects.filter(state=State.WAITING, give_up_at__lt=now - LEASE, webhook__enabled=False).update(
        state=State.FAILED
    )
    Delivery.objects.exclude(state=State.WAITING).filter(event__created_at__lt=now - KEPT).delete()
    WebhookEvent.objects.filter(created_at__lt=now - KEPT, deliveries=None).delete()
