"""Writing an event, in the transaction of what it tells of: told is what was committed, all of it and nothing else."""

import json
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import uuid4

from django.utils import timezone

from access.actors import Actor
from access.audit.values import plain
from fleet.webhooks.models import Delivery, Kind, Webhook, WebhookEvent
from fleet.webhooks.schedule import GIVE_UP_AFTER


def announce(kind: Kind, *, actor: Actor, facts: Mapping[str, Any], once: str | None = None) -> None:
    """Have every enabled webhook that asked for it told; without one nothing is written.

    Raises:
        IntegrityError: an event with the same `once` was written already.
    """
    wanting = [webhook for webhook in Webhook.objects.filter(enabled=True) if kind in webhook.kinds]
    if wanting:
        write_event(kind, actor=actor, facts=facts, webhooks=wanting, once=once)


def write_event(
    kind: str, *, actor: Actor, facts: Mapping[str, Any], webhooks: Iterable[Webhook], once: str | None = None
) -> list[Delivery]:
    """Write the event, and a delivery for each webhook."""
    now, event_id = timezone.now(), uuid4()
    document = {"id": event_id, "kind": kind, "at": now, "by": actor.label, **facts}
    body = json.dumps(plain(document), separators=(",", ":"))
    event = WebhookEvent.objects.create(id=event_id, kind=kind, created_at=now, body=body, once=once)
    return Delivery.objects.bulk_create(
        Delivery(webhook=webhook, event=event, due_at=now, give_up_at=now + GIVE_UP_AFTER) for webhook in webhooks
    )
