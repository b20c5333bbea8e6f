"""Shapes of webhooks on the wire."""

from typing import Any

from rest_framework import serializers

from access.api.serializers import ShortListField
from fleet.webhooks.models import Delivery, DeliveryAttempt, Kind, Webhook

MAX_KEEP_PREVIOUS_H = 7 * 24


class WebhookRequestSerializer(serializers.Serializer[Any]):
    """A wish for a webhook."""

    url = serializers.CharField(max_length=500)
    kinds = ShortListField(child=serializers.ChoiceField(choices=Kind.choices), max_length=len(Kind), allow_empty=False)


class WebhookChangesSerializer(serializers.Serializer[Any]):
    """What may be changed of a webhook; what is left out stays."""

    url = serializers.CharField(max_length=500, required=False)
    kinds = ShortListField(
        child=serializers.ChoiceField(choices=Kind.choices), max_length=len(Kind), allow_empty=False, required=False
    )
    enabled = serializers.BooleanField(required=False)


class WebhookSerializer(serializers.ModelSerializer[Webhook]):
    """A webhook without its secret."""

    kinds = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = Webhook
        fields = ["id", "url", "kinds", "enabled", "created_at", "previous_until"]


class NewWebhookSerializer(WebhookSerializer):
    """A webhook with its secret, this once."""

    secret = serializers.CharField(read_only=True)

    class Meta(WebhookSerializer.Meta):
        fields = [*WebhookSerializer.Meta.fields, "secret"]


class RotateSerializer(serializers.Serializer[Any]):
    """For how long the secret before stays good."""

    keep_previous_h = serializers.FloatField(default=24, min_value=0, max_value=MAX_KEEP_PREVIOUS_H)


class DeliveryAttemptSerializer(serializers.ModelSerializer[DeliveryAttempt]):
    """One try."""

    status = serializers.IntegerField(allow_null=True, help_text="of HTTP; null without an answer")

    class Meta:
        model = DeliveryAttempt
        fields = ["at", "status", "latency_ns", "answer", "error"]


class DeliverySerializer(serializers.ModelSerializer[Delivery]):
    """One event for one webhook, with its tries, newest first."""

    event = serializers.UUIDField(source="event_id")
    kind = serializers.CharField(source="event.kind")
    body = serializers.CharField(source="event.body", help_text="the JSON that is sent")
    attempts = serializers.IntegerField(min_value=0)
    tries = DeliveryAttemptSerializer(many=True)

    class Meta:
        model = Delivery
        fields = ["id", "event", "kind", "state", "created_at", "attempts", "due_at", "give_up_at", "body", "tries"]
