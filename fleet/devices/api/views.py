"""Routes of devices, groups, link classes and enrollment."""

from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access.actors import actor_of
from access.api.schema import problems
from access.models import Scope
from access.permissions import Anybody, IsDevice, requires, requires_by_method
from access.throttles import by_address, by_device
from fleet.devices import credentials, enrollment, queries, services
from fleet.devices.api import serializers
from fleet.devices.certificates import certificate_named_in
from fleet.devices.models import Device, EnrollmentSerial, EnrollmentToken, Group, LinkClass
from fleet.devices.visibility import visible_enrollment_tokens, visible_groups

READ_OR_OPERATE = requires_by_method(Scope.READ, Scope.OPERATE)
CREATED_OR_SAME = "201 when it is new, 200 when the same is there already."


class EnrollView(APIView):
    """A device enrolls, with a token in place of a credential."""

    authentication_classes = []
    permission_classes = [Anybody]
    throttle_classes = [by_address("enroll")]

    @extend_schema(
        request=serializers.EnrollSerializer,
        responses={201: serializers.EnrolledSerializer, **problems(400, 403, 409, 429)},
    )
    def post(self, request: Request) -> Response:
        wish = serializers.EnrollSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        device, credential = enrollment.enroll_device(
            **wish.validated_data, certificate_sha256=certificate_named_in(request)
        )
        enrolled = {
            "device_id": device.pk,
            "credential": credential,
            "poll_after_s": settings.SMALLFLEET_POLL_AFTER_S,
            "approved": device.pending_until is None,
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
    queryset = Group.objects.none()  # tells the OpenAPI generator the model; `get_queryset` decides

    def get_queryset(self) -> QuerySet[Group]:
        return visible_groups(actor_of(self.request))

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
        return Response(serializers.GroupSerializer(queries.get_group(name, actor=actor_of(request))).data)

    @extend_schema(responses={204: None, **problems(404, 409)})
    def delete(self, request: Request, name: str) -> Response:
        services.delete_group(actor=actor_of(request), group=queries.get_group(name, actor=actor_of(request)))
        return Response(status=204)


class EnrollmentTokensView(ListAPIView[EnrollmentToken]):
    """What lets devices enroll."""

    permission_classes = [requires(Scope.OPERATE)]
    serializer_class = serializers.EnrollmentTokenSerializer
    queryset = EnrollmentToken.objects.none()  # tells the OpenAPI generator the model; `get_queryset` decides

    def get_queryset(self) -> QuerySet[EnrollmentToken]:
        return visible_enrollment_tokens(actor_of(self.request))

    @extend_schema(
        request=serializers.EnrollmentTokenRequestSerializer,
        responses={201: serializers.NewEnrollmentTokenSerializer, **problems(400, 404, 409)},
    )
    def post(self, request: Request) -> Response:
        wish = serializers.EnrollmentTokenRequestSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        actor, plan = actor_of(request), wish.validated_data
        group = queries.get_group(plan["group"], actor=actor) if plan["group"] else None
        token, secret = enrollment.create_enrollment_token(actor=actor, **{**plan, "group": group})
        shown_once = {"token": secret, "roots": queries.roots_for(token)}
        return Response({**serializers.EnrollmentTokenSerializer(token).data, **shown_once}, status=201)


class EnrollmentTokenView(APIView):
    """One enrollment token."""

    permission_classes = [requires(Scope.OPERATE)]

    @extend_schema(responses={204: None, **problems(404)})
    def delete(self, request: Request, token_id: UUID) -> Response:
        enrollment.revoke_enrollment_token(
            actor=actor_of(request), token=queries.get_enrollment_token(token_id, actor=actor_of(request))
        )
        return Response(status=204)


class EnrollmentSerialsView(ListAPIView[EnrollmentSerial]):
    """The serials that may enroll with a token of the mode `serials`."""

    permission_classes = [requires(Scope.OPERATE)]
    serializer_class = serializers.EnrollmentSerialSerializer
    queryset = EnrollmentSerial.objects.none()

    def get_queryset(self) -> QuerySet[EnrollmentSerial]:
        if getattr(self, "swagger_fake_view", False):
            return self.queryset
        return queries.serials_of(queries.get_enrollment_token(self.kwargs["token_id"], actor=actor_of(self.request)))

    @extend_schema(
        request=serializers.SerialsSerializer, responses={200: serializers.RegisteredSerializer, **problems(400, 404)}
    )
    def post(self, request: Request, token_id: UUID) -> Response:
        wish = serializers.SerialsSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        added = enrollment.register_serials(
            actor=actor_of(request),
            token=queries.get_enrollment_token(token_id, actor=actor_of(request)),
            **wish.validated_data,
        )
        return Response(serializers.RegisteredSerializer({"added": added}).data)


class EnrollmentSerialView(APIView):
    """One registered serial."""

    permission_classes = [requires(Scope.OPERATE)]

    @extend_schema(responses={204: None, **problems(404)})
    def delete(self, request: Request, token_id: UUID, serial: str) -> Response:
        token = queries.get_enrollment_token(token_id, actor=actor_of(request))
        enrollment.remove_serial(actor=actor_of(request), token=token, serial=serial)
        return Response(status=204)


@extend_schema(
    parameters=[
        OpenApiParameter("group", str),
        OpenApiParameter("model", str, description="has this model line"),
        OpenApiParameter("name", str, description="has exactly this name; several may"),
        OpenApiParameter("pending", str, enum=["yes", "no"], description="waits for an operator's approval, or not"),
        OpenApiParameter("waiting_for", str, description="this rule of its own keeps it from what the server wants"),
    ]
)
class DevicesView(ListAPIView[Device]):
    """Enrolled devices, the revoked ones too."""

    permission_classes = [requires(Scope.READ)]
    serializer_class = serializers.DeviceSerializer

    def get_queryset(self) -> QuerySet[Device]:
        params: Any = self.request.query_params
        wanted = ("group", "model", "name", "waiting_for", "pending")
        return queries.devices_matching(actor=actor_of(self.request), **{name: params.get(name) for name in wanted})


def _detail(request: Request, device: Device) -> Response:
    return Response(serializers.DeviceDetailSerializer(device, context={"request": request}).data)


class DeviceView(APIView):
    """One device."""

    permission_classes = [READ_OR_OPERATE]

    @extend_schema(responses={200: serializers.DeviceDetailSerializer, **problems(404)})
    def get(self, request: Request, device_id: UUID) -> Response:
        return _detail(request, queries.get_device(device_id, actor=actor_of(request)))

    @extend_schema(
        request=serializers.DeviceChangesSerializer,
        responses={200: serializers.DeviceDetailSerializer, **problems(400, 404)},
    )
    def patch(self, request: Request, device_id: UUID) -> Response:
        changes = serializers.DeviceChangesSerializer(data=request.data)
        changes.is_valid(raise_exception=True)
        device = services.update_device(
            actor=actor_of(request),
            device=queries.get_device(device_id, actor=actor_of(request)),
            **changes.validated_data,
        )
        return _detail(request, device)


class RevokeDeviceView(APIView):
    """Ends a device's credential."""

    permission_classes = [requires(Scope.OPERATE)]

    @extend_schema(request=None, responses={200: serializers.DeviceDetailSerializer, **problems(404)})
    def post(self, request: Request, device_id: UUID) -> Response:
        device = services.revoke_device(
            actor=actor_of(request), device=queries.get_device(device_id, actor=actor_of(request))
        )
        return _detail(request, device)


class RotateDeviceView(APIView):
    """Has a device make itself a new credential."""

    permission_classes = [requires(Scope.OPERATE)]

    @extend_schema(request=None, responses={200: serializers.DeviceDetailSerializer, **problems(404)})
    def post(self, request: Request, device_id: UUID) -> Response:
        device = credentials.ask_for_rotation(
            actor=actor_of(request), device=queries.get_device(device_id, actor=actor_of(request))
        )
        return _detail(request, device)


class DeviceCertificateView(APIView):
    """Binds a device to a client certificate."""

    permission_classes = [requires(Scope.OPERATE)]

    @extend_schema(
        request=serializers.CertificateSerializer,
        responses={200: serializers.DeviceDetailSerializer, **problems(400, 404, 409)},
    )
    def put(self, request: Request, device_id: UUID) -> Response:
        wish = serializers.CertificateSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        device = credentials.register_certificate(
            actor=actor_of(request),
            device=queries.get_device(device_id, actor=actor_of(request)),
            **wish.validated_data,
        )
        return _detail(request, device)


class _DecisionView(APIView):
    """An operator's word on pending devices; on all that are named, or where one of them is not there, on none."""

    permission_classes = [requires(Scope.OPERATE)]

    def decide(self, request: Request, verb: Callable[..., int]) -> Response:
        named = serializers.DevicesNamedSerializer(data=request.data)
        named.is_valid(raise_exception=True)
        devices = queries.get_devices(named.validated_data["devices"], actor=actor_of(request))
        decided = verb(actor=actor_of(request), devices=devices)
        return Response(serializers.DecidedSerializer({"decided": decided}).data)


class ApproveDevicesView(_DecisionView):
    """Lets pending devices work."""

    @extend_schema(
        request=serializers.DevicesNamedSerializer,
        responses={200: serializers.DecidedSerializer, **problems(400, 404)},
    )
    def post(self, request: Request) -> Response:
        return self.decide(request, enrollment.approve_devices)


class RejectDevicesView(_DecisionView):
    """Forgets pending devices."""

    @extend_schema(
        request=serializers.DevicesNamedSerializer,
        responses={200: serializers.DecidedSerializer, **problems(400, 404)},
    )
    def post(self, request: Request) -> Response:
        return self.decide(request, enrollment.reject_devices)


class CredentialView(APIView):
    """A device announces the secret that it will prove itself with from its next use on; authenticated by the one it has."""

    permission_classes = [IsDevice]
    throttle_classes = [by_device("messages")]

    @extend_schema(request=serializers.CredentialSerializer, responses={204: None, **problems(400, 429)})
    def put(self, request: Request) -> Response:
        announced = serializers.CredentialSerializer(data=request.data)
        announced.is_valid(raise_exception=True)
        credentials.announce_credential(device=cast(Device, request.user), **announced.validated_data)
        return Response(status=204)
