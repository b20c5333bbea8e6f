"""Routes of the registry: artifacts, and publishing."""

from collections.abc import Iterable
from typing import Any

from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.permissions import BasePermission
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access.actors import actor_of
from access.api.schema import problems
from access.errors import InvalidInput, LengthRequired
from access.models import Scope
from access.permissions import requires, requires_by_method
from access.throttles import by_device
from registry import queries, services, uploads
from registry.api import serializers, serving
from registry.deltas.queries import matrix_of, patches_of
from registry.models import Artifact, ModelLine, Patch
from registry.visibility import visible_lines

_CREATED_OR_SAME = "201 when it is new, 200 when the same is there already."


class OneForAll(BaseContentNegotiation):
    """Whatever a client accepts: artifacts are bytes, and what is not bytes is the JSON of a problem."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> None:
        return None

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, renderer.media_type or ""


class ArtifactView(APIView):
    """Bytes by digest. The body of an upload is read as a stream, never by a parser."""

    parser_classes = []
    content_negotiation_class = OneForAll
    throttle_classes = [by_device("artifacts")]

    def get_permissions(self) -> list[BasePermission]:
        if self.request.method == "PUT":
            return [requires(Scope.PUBLISH)()]
        return [requires(Scope.READ, device=True)()]

    @extend_schema(
        description="The bytes, whole or a single range of them, or the address where the object store serves them.",
        parameters=[
            OpenApiParameter("Range", str, OpenApiParameter.HEADER, description="a single range of bytes"),
            OpenApiParameter("If-Range", str, OpenApiParameter.HEADER),
            OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER),
            OpenApiParameter(serving.ATTEMPT_HEADER, OpenApiTypes.UUID, OpenApiParameter.HEADER),
        ],
        responses={
            (200, "application/octet-stream"): OpenApiTypes.BINARY,
            (206, "application/octet-stream"): OpenApiTypes.BINARY,
            304: None,
            307: OpenApiResponse(description="The object store serves the bytes at `Location`."),
            **problems(404, 416, 429, 503),
        },
    )
    def get(self, request: Request, sha256: str) -> HttpResponseBase:
        return serving.artifact_answer(_readable(sha256, request), request)

    @extend_schema(responses={200: OpenApiResponse(description="The headers of GET."), **problems(404, 429)})
    def head(self, request: Request, sha256: str) -> HttpResponseBase:
        return serving.headers_answer(_readable(sha256, request))

    @extend_schema(
        description=_CREATED_OR_SAME,
        parameters=[OpenApiParameter("kind", str, required=True, enum=[kind.value for kind in uploads.UPLOADED_KINDS])],
        request={"application/octet-stream": OpenApiTypes.BINARY},
        responses={
            201: serializers.ArtifactSerializer,
            200: serializers.ArtifactSerializer,
            **problems(400, 409, 411, 413, 422, 503, 507),
        },
    )
    def put(self, request: Request, sha256: str) -> Response:
        query = serializers.UploadQuerySerializer(data={"kind": request.query_params.get("kind"), "sha256": sha256})
        query.is_valid(raise_exception=True)
        artifact, created = uploads.store_upload(
            actor=actor_of(request),
            stream=request._request,  # noqa: SLF001 - DRF's wrapper would read the body into memory
            content_length=_content_length(request),
            claimed_sha256=sha256,
            kind=Artifact.Kind(query.validated_data["kind"]),
        )
        return Response(serializers.ArtifactSerializer(artifact).data, status=201 if created else 200)


def _readable(sha256: str, request: Request) -> Artifact:
    artifact = queries.get_artifact(sha256)
    serving.check_may_read(artifact, request)
    return artifact


def _content_length(request: Request) -> int:
    announced = request.META.get("CONTENT_LENGTH")
    if not announced:
        raise LengthRequired("send Content-Length; a body of unknown length is not read")
    if not announced.isascii() or not announced.isdigit():
        raise InvalidInput(f"Content-Length is no number: {announced[:40]!r}")
    return int(announced)


class ModelsView(GenericAPIView[Any]):
    """Model lines."""

    permission_classes = [requires_by_method(Scope.READ, Scope.PUBLISH)]
    queryset = ModelLine.objects.none()  # tells the OpenAPI generator the model
    serializer_class = serializers.ModelLineSummarySerializer

    @extend_schema(
        operation_id="models_list", responses={200: serializers.ModelLineSummarySerializer(many=True), **problems()}
    )
    def get(self, request: Request) -> Response:
        lines = visible_lines(actor_of(request)).order_by("name")
        summaries = queries.summaries(self.paginate_queryset(lines) or [])
        return self.get_paginated_response(serializers.ModelLineSummarySerializer(summaries, many=True).data)

    @extend_schema(
        description=_CREATED_OR_SAME,
        request=serializers.ModelLineRequestSerializer,
        responses={201: serializers.ModelLineSerializer, 200: serializers.ModelLineSerializer, **problems(400, 409)},
    )
    def post(self, request: Request) -> Response:
        wish = _valid(serializers.ModelLineRequestSerializer(data=request.data))
        line, created = services.create_model_line(actor=actor_of(request), **wish)
        return Response(serializers.ModelLineSerializer(line).data, status=201 if created else 200)


class ModelView(APIView):
    """One model line with its versions."""

    permission_classes = [requires(Scope.READ)]

    @extend_schema(responses={200: serializers.ModelLineDetailSerializer, **problems(404)})
    def get(self, request: Request, model: str) -> Response:
        return Response(
            serializers.ModelLineDetailSerializer(queries.line_with_versions(model, actor=actor_of(request))).data
        )


class BudgetView(APIView):
    """The limits that the variants of a model line shall keep."""

    permission_classes = [requires_by_method(Scope.READ, Scope.ADMINISTER)]

    @extend_schema(responses={200: serializers.BudgetSerializer, **problems(404)})
    def get(self, request: Request, model: str) -> Response:
        return Response(
            serializers.BudgetSerializer(queries.budget_of(queries.get_model_line(model, actor=actor_of(request)))).data
        )

    @extend_schema(
        request=serializers.BudgetRequestSerializer,
        responses={200: serializers.BudgetSerializer, **problems(400, 404)},
    )
    def put(self, request: Request, model: str) -> Response:
        wish = _valid(serializers.BudgetRequestSerializer(data=request.data))
        line = queries.get_model_line(model, actor=actor_of(request))
        budget = services.set_budget(actor=actor_of(request), model_line=line, **wish)
        return Response(serializers.BudgetSerializer(budget).data)


class VersionView(APIView):
    """One version."""

    permission_classes = [requires_by_method(Scope.READ, Scope.PUBLISH)]

    @extend_schema(responses={200: serializers.VersionSerializer, **problems(404)})
    def get(self, request: Request, model: str, version: str) -> Response:
        return Response(
            serializers.VersionSerializer(queries.get_version(model, version, actor=actor_of(request))).data
        )

    @extend_schema(
        description=_CREATED_OR_SAME,
        request=serializers.VersionRequestSerializer,
        responses={
            201: serializers.VersionSerializer,
            200: serializers.VersionSerializer,
            **problems(400, 404, 409, 422),
        },
    )
    def put(self, request: Request, model: str, version: str) -> Response:
        wish = _valid(serializers.VersionRequestSerializer(data=request.data))
        line = queries.get_model_line(model, actor=actor_of(request))
        row, created = services.create_version(actor=actor_of(request), model_line=line, version=version, **wish)
        return Response(serializers.VersionSerializer(row).data, status=201 if created else 200)


class VariantView(APIView):
    """One variant of a version."""

    permission_classes = [requires(Scope.PUBLISH)]

    @extend_schema(
        description=_CREATED_OR_SAME,
        request=serializers.VariantRequestSerializer,
        responses={
            201: serializers.VariantSerializer,
            200: serializers.VariantSerializer,
            **problems(400, 404, 409, 422),
        },
    )
    def put(self, request: Request, model: str, version: str, variant: str) -> Response:
        name = _valid(serializers.VariantNameSerializer(data={"variant": variant}))["variant"]
        wish = serializers.VariantRequestSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        row, created = services.add_variant(
            actor=actor_of(request),
            version=queries.get_version(model, version, actor=actor_of(request)),
            name=name,
            **wish.wanted(),
        )
        return Response(serializers.VariantSerializer(row).data, status=201 if created else 200)


class EvaluationsView(APIView):
    """What was measured of a variant."""

    permission_classes = [requires(Scope.PUBLISH)]

    @extend_schema(
        description=_CREATED_OR_SAME,
        request=serializers.EvaluationRequestSerializer,
        responses={
            201: serializers.EvaluationSerializer,
            200: serializers.EvaluationSerializer,
            **problems(400, 404, 409),
        },
    )
    def post(self, request: Request, model: str, version: str, variant: str) -> Response:
        wish = serializers.EvaluationRequestSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        row, created = services.add_evaluation(
            actor=actor_of(request),
            variant=queries.get_variant(model, version, variant, actor=actor_of(request)),
            measured=wish.measured(),
        )
        return Response(serializers.EvaluationSerializer(row).data, status=201 if created else 200)


class PublishView(APIView):
    """Makes a draft available."""

    permission_classes = [requires(Scope.PUBLISH)]

    @extend_schema(
        request=serializers.PublishRequestSerializer,
        responses={200: serializers.VersionSerializer, **problems(400, 404, 409)},
    )
    def post(self, request: Request, model: str, version: str) -> Response:
        wish = _valid(serializers.PublishRequestSerializer(data=request.data))
        row = services.publish_version(
            actor=actor_of(request), version=queries.get_version(model, version, actor=actor_of(request)), **wish
        )
        return Response(serializers.VersionSerializer(row).data)


class YankView(APIView):
    """Withdraws a version."""

    permission_classes = [requires(Scope.PUBLISH)]

    @extend_schema(
        request=serializers.YankRequestSerializer,
        responses={200: serializers.VersionSerializer, **problems(400, 404, 409)},
    )
    def post(self, request: Request, model: str, version: str) -> Response:
        wish = _valid(serializers.YankRequestSerializer(data=request.data))
        row = services.yank_version(
            actor=actor_of(request), version=queries.get_version(model, version, actor=actor_of(request)), **wish
        )
        return Response(serializers.VersionSerializer(row).data)


class DeltasView(GenericAPIView[Any]):
    """The patches to a model line's artifacts: base x target x format with state and bytes."""

    permission_classes = [requires(Scope.READ)]
    queryset = Patch.objects.none()
    serializer_class = serializers.MatrixCellSerializer

    @extend_schema(
        operation_id="models_deltas_list",
        responses={200: serializers.MatrixCellSerializer(many=True), **problems(404)},
    )
    def get(self, request: Request, model: str) -> Response:
        patches = self.paginate_queryset(patches_of(queries.get_model_line(model, actor=actor_of(request)))) or []
        cells = matrix_of(patches, actor=actor_of(request))
        return self.get_paginated_response(serializers.MatrixCellSerializer(cells, many=True).data)


def _valid(serializer: Any) -> dict[str, Any]:
    """The body's fields, or a refusal that names the wrong ones."""
    serializer.is_valid(raise_exception=True)
    fields: dict[str, Any] = serializer.validated_data
    return fields
