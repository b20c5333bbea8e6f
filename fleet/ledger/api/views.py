"""Routes of the ledger."""

from dataclasses import asdict
from uuid import UUID

from django.conf import settings
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access.actors import actor_of
from access.api.schema import problems
from access.models import Scope
from access.permissions import requires
from fleet.devices.queries import get_group
from fleet.devices.visibility import installation_condition
from fleet.ledger import queries
from fleet.ledger.api import serializers
from fleet.rollouts.queries import get_rollout
from registry.queries import get_model_line


class CostsView(APIView):
    """What each published variant of a model line would cost today, on the devices that whoever asks may see."""

    permission_classes = [requires(Scope.READ)]

    @extend_schema(
        parameters=[OpenApiParameter("group", str)],
        responses={200: serializers.CostsSerializer, **problems(404)},
    )
    def get(self, request: Request, model: str) -> Response:
        name = request.query_params.get("group")
        actor = actor_of(request)
        line, group = get_model_line(model, actor=actor), get_group(name, actor=actor) if name else None
        among = installation_condition(actor)
        costs = queries.costs_of_variants(model_line=line, group=group, among=among)
        body = {"model": model, "group": name or None, "currency": settings.SMALLFLEET_CURRENCY, "variants": costs}
        return Response(serializers.CostsSerializer(body).data)


class LedgerView(APIView):
    """What a rollout put on the wire; of its devices the thousand most expensive."""

    permission_classes = [requires(Scope.READ)]

    @extend_schema(responses={200: serializers.LedgerSerializer, **problems(404)})
    def get(self, request: Request, rollout_id: UUID) -> Response:
        actor = actor_of(request)
        ledger = asdict(queries.ledger_of_rollout(get_rollout(rollout_id, actor=actor), actor=actor))
        return Response(serializers.LedgerSerializer({**ledger, "currency": settings.SMALLFLEET_CURRENCY}).data)
