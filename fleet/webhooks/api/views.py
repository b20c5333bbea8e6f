"""Routes of webhooks."""

from datetime import timedelta
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access.actors import actor_of
from access.api.schema import problems
from access.models import Scope
from access.permissions import requires
from fleet.webhooks import services
from fleet.webhooks.api import serializers
from fleet.webhooks.models import Delivery, Webhook
from fleet.webhooks.queries import deliveries_of, get_delivery, get_webhook

ADMINS = [requires(Scope.ADMINISTER)]


def _with_secret(webhook: Webhook, secret: str) -> dict[str, object]:
    return {**serializers.WebhookSerializer(webhook).data, "secret": secret}


class WebhooksView(ListAPIView[Webhook]):
    """Who is told of what."""

    permission_classes = ADMINS
    serializer_class = serializers.WebhookSerializer
    queryset = Webhook.objects.all()

    @extend_schema(
        request=serializers.WebhookRequestSerializer, responses={201: serializers.NewWebhookSerializer, **problems(400)}
    )
    def post(self, request: Request) -> Response:
        wish = serializers.WebhookRequestSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        webhook, secret = services.create_webhook(actor=actor_of(request), **wish.validated_data)
        return Response(_with_secret(webhook, secret), status=201)


class WebhookView(APIView):
    """One webhook."""

    permission_classes = ADMINS

    @extend_schema(responses={200: serializers.WebhookSerializer, **problems(404)})
    def get(self, request: Request, webhook_id: UUID) -> Response:
        return Response(serializers.WebhookSerializer(get_webhook(webhook_id)).data)

    @extend_schema(
        request=serializers.WebhookChangesSerializer,
        responses={200: serializers.WebhookSerializer, **problems(400, 404)},
    )
    def patch(self, request: Request, webhook_id: UUID) -> Response:
        changes = serializers.WebhookChangesSerializer(data=request.data)
        changes.is_valid(raise_exception=True)
        webhook = get_webhook(webhook_id)
        webhook = services.update_webhook(actor=actor_of(request), webhook=webhook, **changes.validated_data)
        return Response(serializers.WebhookSerializer(webhook).data)

    @extend_schema(responses={204: None, **problems(404)})
    def delete(self, request: Request, webhook_id: UUID) -> Response:
        services.delete_webhook(actor=actor_of(request), webhook=get_webhook(webhook_id))
        return Response(status=204)


class RotateView(APIView):
    """A new secret."""

    permission_classes = ADMINS

    @extend_schema(
        request=serializers.RotateSerializer, responses={200: serializers.NewWebhookSerializer, **problems(400, 404)}
    )
    def post(self, request: Request, webhook_id: UUID) -> Response:
        wish = serializers.RotateSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        keep = timedelta(hours=wish.validated_data["keep_previous_h"])
        webhook, secret = services.rotate_secret(
            actor=actor_of(request), webhook=get_webhook(webhook_id), keep_previous=keep
        )
        return Response(_with_secret(webhook, secret))


class PingView(APIView):
    """An event that means nothing, to try the webhook."""

    permission_classes = ADMINS

    @extend_schema(request=None, responses={202: serializers.DeliverySerializer, **problems(404)})
    def post(self, request: Request, webhook_id: UUID) -> Response:
        delivery = services.ping_webhook(actor=actor_of(request), webhook=get_webhook(webhook_id))
        return Response(serializers.DeliverySerializer(delivery).data, status=202)


class DeliveriesView(ListAPIView[Delivery]):
    """What was sent, and what came of it."""

    permission_classes = ADMINS
    serializer_class = serializers.DeliverySerializer
    queryset = Delivery.objects.none()  # tells the OpenAPI generator the model; `get_queryset` decides

    def get_queryset(self) -> QuerySet[Delivery]:
        return deliveries_of(get_webhook(self.kwargs["webhook_id"]))

    @extend_schema(responses={200: serializers.DeliverySerializer(many=True), **problems(404)})
    def get(self, request: Request, webhook_id: UUID) -> Response:
        return self.list(request)


class RedeliverView(APIView):
    """Send it again."""

    permission_classes = ADMINS

    @extend_schema(request=None, responses={202: serializers.DeliverySerializer, **problems(404)})
    def post(self, request: Request, webhook_id: UUID, delivery_id: UUID) -> Response:
        delivery = get_delivery(get_webhook(webhook_id), delivery_id)
        again = services.redeliver(actor=actor_of(request), delivery=delivery)
        return Response(serializers.DeliverySerializer(again).data, status=202)
