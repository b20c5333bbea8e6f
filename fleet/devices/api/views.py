"""Routes of devices, groups, link classes and enrollment."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access.actors import actor_of
from access.models import Scope
from access.permissions import Anybody, requires, requires_by_method
from fleet.devices import queries, services
from fleet.devices.api import serializers
from fleet.devices.models import Device, EnrollmentToken, Group, LinkClass
from registry.api.schema import problems

READ_OR_OPERATE = requires_by_method(Scope.READ, Scope.OPERATE)
CREATED_OR_SAME = "201 when it is new, 200 when the same is there already."


class EnrollView(APIView):
    """A device enrolls, with a token in place of a credential."""

    authentication_classes = []
    permission_classes = [Anybody]

    @extend_schema(
        request=serializers.EnrollSerializer, responses={201: serializers.EnrolledSerializer, **problems(400, 403)}
    )
    def post(self, request: Request) -> Response:
        wish = serializers.EnrollSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        device, credential = services.enroll_device(**wish.validated_data)
        enrolled = {
            "device_id": device.pk,
            "credential": credential,
            "poll_after_s": settings.SMALLFLEET_POLL_AFTER_S,
            "trusted_root_sha256": None,
        }
        return Response(serializers.EnrolledSerializer(enrolled).data, status=201)


class LinkClassesView(ListAPIView[LinkClass]):
    """What bytes cost."""

    permission_classes = [READ_OR_OPERATE]
    serializer_class = serializers.LinkClassSerializer
    queryset = LinkClass.objects.all()

    @extend_schema(
        description=CREATED_OR_SAME,
        request=serializers.LinkClassSerializer,
        responses={
            201: serializers.LinkClassSerializer,
            200: serializers.LinkClassSerializer,
            **problems(400, 409),
        },
    )
    def post(self, request: Request) -> Response:
        wish = serializers.LinkClassSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        link_class, created = services.create_link_class(actor=actor_of(request), **wish.validated_data)
        return Response(serializers.LinkClassSerializer(link_class).data, status=201 if created else 200)


class LinkClassView(APIView):
    """One link class."""

    permission_classes = [READ_OR_OPERATE]

    @extend_schema(responses={200: serializers.LinkClassSerializer, **problems(404)})
    def get(self, request: Request, name: str) -> Response:
        return Response(serializers.LinkClassSerializer(queries.get_link_class(name)).data)

    @extend_schema(
        request=serializers.LinkClassChangesSerializer,
        responses={200: serializers.LinkClassSerializer, **problems(400, 404)},
    )
    def patch(self, request: Request, name: str) -> Response:
        changes = serializers.LinkClassChangesSerializer(data=request.data, partial=True)
        changes.is_valid(raise_exception=True)
        link_class = services.update_link_class(
            actor=actor_of(request), link_class=queries.get_link_class(name), **changes.validated_data
        )
        return Response(serializers.LinkClassSerializer(link_class).data)


class GroupsView(ListAPIView[Group]):
    """Saved queries over attributes."""

    permission_classes = [READ_OR_OPERATE]
    serializer_class = serializers.GroupSerializer
    queryset = Group.objects.all()

    @extend_schema(
        description=CREATED_OR_SAME,
        request=serializers.GroupSerializer,
        responses={201: serializers.GroupSerializer, 200: serializers.GroupSerializer, **problems(400, 409)},
    )
    def post(self, request: Request) -> Response:
        wish = serializers.GroupSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        group, created = services.create_group(actor=actor_of(request), **wish.validated_data)
        return Response(serializers.GroupSerializer(group).data, status=201 if created else 200)


class GroupView(APIView):
    """One group."""

    permission_classes = [READ_OR_OPERATE]

    @extend_schema(responses={200: serializers.GroupSerializer, **problems(404)})
    def get(self, request: Request, name: str) -> Response:
        return Response(serializers.GroupSerializer(queries.get_group(name)).data)

    @extend_schema(responses={204: None, **problems(404, 409)})
    def delete(self, request: Request, name: str) -> Response:
        services.delete_group(actor=actor_of(request), group=queries.get_group(name))
        return Response(status=204)


class EnrollmentTokensView(ListAPIView[EnrollmentToken]):
    """What lets devices enroll."""

    permission_classes = [requires(Scope.OPERATE)]
    serializer_class = serializers.EnrollmentTokenSerializer
    queryset = EnrollmentToken.objects.select_related("link_class")

    @extend_schema(
        request=serializers.EnrollmentTokenRequestSerializer,
        responses={201: serializers.NewEnrollmentTokenSerializer, **problems(400)},
    )
    def post(self, request: Request) -> Response:
        wish = serializers.EnrollmentTokenRequestSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        token, secret = services.create_enrollment_token(actor=actor_of(request), **wish.validated_data)
        return Response({**serializers.EnrollmentTokenSerializer(token).data, "token": secret}, status=201)


class EnrollmentTokenView(APIView):
    """One enrollment token."""

    permission_classes = [requires(Scope.OPERATE)]

    @extend_schema(responses={204: None, **problems(404)})
    def delete(self, request: Request, token_id: UUID) -> Response:
        services.revoke_enrollment_token(actor=actor_of(request), token=queries.get_enrollment_token(token_id))
        return Response(status=204)


@extend_schema(
    parameters=[
        OpenApiParameter("group", str),
        OpenApiParameter("model", str, description="has this model line"),
        OpenApiParameter("name", str, description="has exactly this name; several may"),
        OpenApiParameter("waiting_for", str, description="this rule of its own keeps it from what the server wants"),
    ]
)
class DevicesView(ListAPIView[Device]):
    """Enrolled devices, the revoked ones too."""

    permission_classes = [requires(Scope.READ)]
    serializer_class = serializers.DeviceSerializer

    def get_queryset(self) -> QuerySet[Device]:
        params: Any = self.request.query_params
        wanted = ("group", "model", "name", "waiting_for")
        return queries.devices_matching(**{name: params.get(name) for name in wanted})


class DeviceView(APIView):
    """One device."""

    permission_classes = [READ_OR_OPERATE]

    @extend_schema(responses={200: serializers.DeviceDetailSerializer, **problems(404)})
    def get(self, request: Request, device_id: UUID) -> Response:
        return Response(serializers.DeviceDetailSerializer(queries.get_device(device_id)).data)

    @extend_schema(
        request=serializers.DeviceChangesSerializer,
        responses={200: serializers.DeviceDetailSerializer, **problems(400, 404)},
    )
    def patch(self, request: Request, device_id: UUID) -> Response:
        changes = serializers.DeviceChangesSerializer(data=request.data)
        changes.is_valid(raise_exception=True)
        device = services.update_device(
            actor=actor_of(request), device=queries.get_device(device_id), **changes.validated_data
        )
        return Response(serializers.DeviceDetailSerializer(device).data)


class RevokeDeviceView(APIView):
    """Ends a device's credential."""

    permission_classes = [requires(Scope.OPERATE)]

    @extend_schema(request=None, responses={200: serializers.DeviceDetailSerializer, **problems(404)})
    def post(self, request: Request, device_id: UUID) -> Response:
        device = services.revoke_device(actor=actor_of(request), device=queries.get_device(device_id))
        return Response(serializers.DeviceDetailSerializer(device).data)
