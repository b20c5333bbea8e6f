"""Routes of people: the plan of patches of a model line."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access.actors import Actor, actor_of
from access.api.schema import problems
from access.models import Scope
from access.permissions import requires_by_method
from fleet.rollouts import patches
from fleet.rollouts.api import patch_serializers as serializers
from fleet.rollouts.matrix import patch_matrix
from registry.deltas.formats import EFFORTS
from registry.deltas.outlook import Outlook
from registry.models import ModelLine
from registry.queries import get_model_line


class PatchPlanView(APIView):
    """Which patches devices of a line need: from what they hold to what they may be brought to, and what stands of each."""

    permission_classes = [requires_by_method(Scope.READ, Scope.OPERATE, Scope.PUBLISH)]

    @extend_schema(
        description="What would be built with this budget; without one, with what the standing budget has left.",
        parameters=[
            OpenApiParameter("budget_mb", float),
            OpenApiParameter("budget_s", float),
            OpenApiParameter("effort", str, enum=EFFORTS),
        ],
        responses={200: serializers.PatchPlanSerializer, **problems(400, 404)},
    )
    def get(self, request: Request, model: str) -> Response:
        actor = actor_of(request)
        line = get_model_line(model, actor=actor)
        actor.requires(Scope.READ, model=model)  # the plan counts every device
        return Response(_body(line, patches.line_outlook(line, **_wish(request.query_params)), actor))

    @extend_schema(
        description="Has what the plan chooses built; a budget that is given is this request's own.",
        request=serializers.PatchOrderSerializer,
        responses={202: serializers.PatchPlanSerializer, **problems(400, 404)},
    )
    def post(self, request: Request, model: str) -> Response:
        actor = actor_of(request)
        line = get_model_line(model, actor=actor)
        ordered = patches.order_patches(actor=actor, model_line=line, **_wish(request.data))
        return Response(_body(line, ordered, actor), status=202)


def _wish(said: Any) -> dict[str, Any]:
    wish = serializers.PatchOrderSerializer(data=said)
    wish.is_valid(raise_exception=True)
    return wish.wanted()


def _body(line: ModelLine, outlook: Outlook, actor: Actor) -> dict[str, Any]:
    matrix = patch_matrix(line, outlook, actor=actor)
    return dict(serializers.PatchPlanSerializer({"model": line.name, "matrix": matrix}).data)
