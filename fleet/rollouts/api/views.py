"""Routes of people: rollouts."""

from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access.actors import actor_of
from access.api.schema import problems
from access.models import Scope
from access.permissions import requires, requires_by_method
from fleet.devices.queries import get_group
from fleet.rollouts import queries, services
from fleet.rollouts.api import serializers
from fleet.rollouts.models import Rollout
from registry.queries import get_variant


def _detail(rollout: Rollout) -> dict[str, Any]:
    shown = queries.rollouts_detailed().get(pk=rollout.pk)
    progress = serializers.ProgressSerializer(queries.progress_of(shown)).data
    waiting_for = serializers.WaitSerializer(queries.waits_of(shown), many=True).data
    return {**serializers.RolloutSerializer(shown).data, "progress": progress, "waiting_for": waiting_for}


@extend_schema(
    parameters=[
        OpenApiParameter("model", str),
        OpenApiParameter("state", str, enum=Rollout.State.values),
    ]
)
class RolloutsView(ListAPIView[Rollout]):
    """Rollouts, the newest first."""

    permission_classes = [requires_by_method(Scope.READ, Scope.OPERATE)]
    serializer_class = serializers.RolloutSerializer

    def get_queryset(self) -> QuerySet[Rollout]:
        params: Any = self.request.query_params
        return queries.rollouts_matching(
            actor=actor_of(self.request), model=params.get("model"), state=params.get("state")
        )

    @extend_schema(
        parameters=[],
        request=serializers.RolloutRequestSerializer,
        responses={201: serializers.RolloutDetailSerializer, **problems(400, 404, 409)},
    )
    def post(self, request: Request) -> Response:
        wish = serializers.RolloutRequestSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        plan = wish.validated_data
        rollout = services.open_rollout(
            actor=actor_of(request),
            target=get_variant(plan["model"], plan["version"], plan["variant"], actor=actor_of(request)),
            group=get_group(plan["group"], actor=actor_of(request)) if plan["group"] else None,
            wait_for_delta_s=plan["wait_for_delta_s"],
            created_by=request.user if isinstance(request.user, User) else None,
            start=plan["start"],
        )
        return Response(_detail(rollout), status=201)


class RolloutView(APIView):
    """One rollout."""

    permission_classes = [requires(Scope.READ)]

    @extend_schema(responses={200: serializers.RolloutDetailSerializer, **problems(404)})
    def get(self, request: Request, rollout_id: UUID) -> Response:
        return Response(_detail(queries.get_rollout(rollout_id, actor=actor_of(request))))


class StartView(APIView):
    """Starts a draft."""

    permission_classes = [requires(Scope.OPERATE)]

    @extend_schema(request=None, responses={200: serializers.RolloutDetailSerializer, **problems(404, 409)})
    def post(self, request: Request, rollout_id: UUID) -> Response:
        rollout = queries.get_rollout(rollout_id, actor=actor_of(request))
        return Response(_detail(services.start_rollout(actor=actor_of(request), rollout=rollout)))


class PauseView(APIView):
    """Lets nothing start or finish."""

    permission_classes = [requires(Scope.OPERATE)]

    @extend_schema(request=None, responses={200: serializers.RolloutDetailSerializer, **problems(404, 409)})
    def post(self, request: Request, rollout_id: UUID) -> Response:
        rollout = queries.get_rollout(rollout_id, actor=actor_of(request))
        return Response(_detail(services.pause_rollout(actor=actor_of(request), rollout=rollout)))


class ResumeView(APIView):
    """Goes on after a pause."""

    permission_classes = [requires(Scope.OPERATE)]

    @extend_schema(request=None, responses={200: serializers.RolloutDetailSerializer, **problems(404, 409)})
    def post(self, request: Request, rollout_id: UUID) -> Response:
        rollout = queries.get_rollout(rollout_id, actor=actor_of(request))
        return Response(_detail(services.resume_rollout(actor=actor_of(request), rollout=rollout)))


class AbortView(APIView):
    """Ends a rollout, and with `roll_back` takes it back."""

    permission_classes = [requires(Scope.OPERATE)]

    @extend_schema(
        request=serializers.AbortSerializer,
        responses={200: serializers.RolloutDetailSerializer, **problems(400, 404, 409)},
    )
    def post(self, request: Request, rollout_id: UUID) -> Response:
        wish = serializers.AbortSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        rollout = queries.get_rollout(rollout_id, actor=actor_of(request))
        return Response(
            _detail(services.abort_rollout(actor=actor_of(request), rollout=rollout, **wish.validated_data))
        )
