"""Routes of studies."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access.actors import actor_of
from access.api.parsers import CappedJsonParser
from access.api.schema import problems
from access.models import Scope
from access.permissions import requires, requires_by_method
from registry.documents import MAX_STUDY_BYTES
from registry.models import Study
from registry.queries import get_model_line
from registry.studies import queries, services
from registry.studies.api import serializers


class StudyJsonParser(CappedJsonParser):
    """A study is larger than other bodies."""

    cap_bytes = MAX_STUDY_BYTES


class StudiesView(GenericAPIView[Any]):
    """What was explored around a model line, without the points."""

    permission_classes = [requires(Scope.READ)]
    queryset = Study.objects.none()
    serializer_class = serializers.StudySummarySerializer

    @extend_schema(
        operation_id="models_studies_list",
        responses={200: serializers.StudySummarySerializer(many=True), **problems(404)},
    )
    def get(self, request: Request, model: str) -> Response:
        studies = self.paginate_queryset(queries.list_studies(model, actor=actor_of(request))) or []
        return self.get_paginated_response(serializers.StudySummarySerializer(studies, many=True).data)


class StudyView(APIView):
    """One study: its points, front and saturation."""

    permission_classes = [requires_by_method(Scope.READ, Scope.PUBLISH)]
    parser_classes = [StudyJsonParser]

    @extend_schema(responses={200: serializers.StudySerializer, **problems(404)})
    def get(self, request: Request, model: str, name: str) -> Response:
        return Response(serializers.StudySerializer(queries.get_study(model, name, actor=actor_of(request))).data)

    @extend_schema(
        description="The body is a document by smallfleet-study/1, at most 4 MB and 10,000 points; it takes the place of the one before. "
        "201 when the study is new.",
        request={"application/json": OpenApiTypes.OBJECT},
        responses={
            201: serializers.StudySummarySerializer,
            200: serializers.StudySummarySerializer,
            **problems(400, 404, 413, 422),
        },
    )
    def put(self, request: Request, model: str, name: str) -> Response:
        address = serializers.StudyNameSerializer(data={"name": name})
        address.is_valid(raise_exception=True)
        line = get_model_line(model, actor=actor_of(request))
        study, created = services.put_study(actor=actor_of(request), model_line=line, name=name, document=request.data)
        return Response(serializers.StudySummarySerializer(study).data, status=201 if created else 200)
