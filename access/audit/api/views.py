"""Routes of the audit record."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access.audit import chain, queries
from access.audit.api import serializers
from access.models import Scope
from access.permissions import requires


class AuditView(APIView):
    """The records, newest first."""

    permission_classes = [requires(Scope.ADMINISTER)]

    @extend_schema(parameters=[serializers.AuditQuerySerializer], responses=serializers.AuditPageSerializer)
    def get(self, request: Request) -> Response:
        query = serializers.AuditQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        found, next_before = queries.page_of(**query.validated_data)
        return Response(serializers.AuditPageSerializer({"results": found, "next_before": next_before}).data)


class HeadView(APIView):
    """Where the chain ends."""

    permission_classes = [requires(Scope.ADMINISTER)]

    @extend_schema(responses=serializers.HeadSerializer)
    def get(self, request: Request) -> Response:
        return Response(serializers.HeadSerializer(chain.head()).data)


class JsonLinesRenderer(JSONRenderer):
    """Lets a client ask for JSON lines; what is refused is one JSON object all the same."""

    media_type = "application/x-ndjson"
    format = "jsonl"


class ExportView(APIView):
    """The chain as JSON lines, for whoever verifies it without this server."""

    permission_classes = [requires(Scope.ADMINISTER)]
    renderer_classes = [JsonLinesRenderer, JSONRenderer]

    @extend_schema(
        parameters=[serializers.ExportQuerySerializer],
        responses={(200, JsonLinesRenderer.media_type): OpenApiTypes.STR},
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        query = serializers.ExportQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        return StreamingHttpResponse(_lines(**query.validated_data), content_type=JsonLinesRenderer.media_type)


def _lines(**where: Any) -> Iterator[bytes]:
    """In ASCII, so that no program takes a separator of Unicode inside a text for the end of a line."""
    for link in chain.links(**where):
        yield json.dumps(asdict(link), separators=(",", ":")).encode() + b"\n"
