"""Routes of devices: polls and events."""

from dataclasses import asdict
from typing import cast

from django.conf import settings
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access.api.parsers import BatchJsonParser
from access.api.schema import problems
from access.permissions import IsDevice
from access.throttles import by_device
from fleet.devices.credentials import rotation_is_due
from fleet.devices.hearing import hear_device
from fleet.devices.models import Device
from fleet.rollouts.api import event_serializers, poll_serializers
from fleet.rollouts.poll import etag_matches, poll_answer, poll_etag
from fleet.rollouts.queries import check_heard, poll_state
from fleet.rollouts.recording import record_events


def _device(request: Request) -> Device:
    return cast(Device, request.user)  # IsDevice admits nobody else


class PollView(APIView):
    """A device asks what to do, and says what it has."""

    permission_classes = [IsDevice]
    throttle_classes = [by_device("poll")]

    @extend_schema(
        parameters=[OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER)],
        responses={200: poll_serializers.PollAnswerSerializer, 304: None, **problems(409, 429)},
    )
    def get(self, request: Request) -> Response:
        device = _device(request)
        check_heard(device)
        return self._answer(device, request.headers.get("If-None-Match", ""))

    @extend_schema(
        request=poll_serializers.SayingSerializer,
        responses={200: poll_serializers.PollAnswerSerializer, **problems(400, 429)},
    )
    def post(self, request: Request) -> Response:
        body = poll_serializers.SayingSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        return self._answer(hear_device(device=_device(request), said=body.saying()))

    def _answer(self, device: Device, if_none_match: str = "") -> Response:
        answer = poll_answer(poll_state(device), poll_after_s=settings.SMALLFLEET_POLL_AFTER_S)
        if rotation_is_due(device):
            # Without an ETag, so that it is said again until it is done.
            return Response({**answer, "rotate_credential": True})
        etag = poll_etag(answer, said_sha256=device.said_sha256)
        if etag_matches(if_none_match, etag):
            return Response(status=304, headers={"ETag": etag})
        return Response(answer, headers={"ETag": etag})


class EventsView(APIView):
    """Facts about attempts, each once."""

    permission_classes = [IsDevice]
    throttle_classes = [by_device("messages")]
    parser_classes = [BatchJsonParser]

    @extend_schema(
        request=event_serializers.EventsSerializer,
        responses={200: event_serializers.RecordedSerializer, **problems(400, 429)},
    )
    def post(self, request: Request) -> Response:
        delivery = event_serializers.DeliverySerializer(data=request.data)
        delivery.is_valid(raise_exception=True)
        messages, refusals = event_serializers.read_events(delivery.validated_data["events"])
        recorded = asdict(record_events(device=_device(request), events=messages))
        recorded["refused"] = [*map(asdict, refusals), *recorded["refused"]]
        return Response(event_serializers.RecordedSerializer(recorded).data)
