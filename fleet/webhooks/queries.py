"""Reading webhooks and what came of their deliveries."""

from uuid import UUID

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery

from access.errors import NotFound
from fleet.webhooks.models import Delivery, Webhook


def get_webhook(webhook_id: UUID) -> Webhook:
    """The webhook.

    Raises:
        NotFound: there is none.
    """
    webhook = Webhook.objects.filter(pk=webhook_id).first()
    if webhook is None:
        raise NotFound(f"there is no webhook {webhook_id}")
    return webhook


def deliveries_of(webhook: Webhook) -> QuerySet[Delivery]:
    """What was sent there, or will be, newest first, with event and tries."""
    return webhook.deliveries.select_related("event").prefetch_related("tries").order_by("-created_at", "id")


def get_delivery(webhook: Webhook, delivery_id: UUID) -> Delivery:
    """One delivery of the webhook.

    Raises:
        NotFound: it has none of this id.
    """
    delivery = deliveries_of(webhook).filter(pk=delivery_id).first()
    if delivery is None:
        raise NotFound(f"the webhook has no delivery {delivery_id}")
    return delivery


def webhooks_with_last_delivery() -> QuerySet[Webhook]:
    """Every webhook with `last_state` and `last_at` of its newest delivery, and how many wait."""
    newest = Delivery.objects.filter(webhook=OuterRef("pk")).order_by("-created_at")
    return Webhook.objects.annotate(
        last_state=Subquery(newest.values("state")[:1]),
        last_at=Subquery(newest.values("created_at")[:1]),
        waiting=Count("deliveries", filter=Q(deliveries__state=Delivery.State.WAITING)),
    )
