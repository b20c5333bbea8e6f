"""Routes of trust: what owners and publishers sign comes in, and the standard TUF endpoint and its short form go out."""

import json
import re
from dataclasses import asdict

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access.actors import actor_of
from access.api.schema import problems
from access.errors import NotFound
from access.models import Scope
from access.permissions import requires
from access.throttles import by_device
from registry.api import serving
from registry.api.views import OneForAll
from registry.models import MetadataFile
from registry.queries import get_model_line
from registry.trust import queries, services
from registry.trust.api import serializers
from registry.trust.api.compressed import json_answer
from registry.trust.keys import online_keys
from registry.trust.verification import MAX_BYTES

Role = MetadataFile.Role

_NAME = re.compile(r"(?:([1-9][0-9]{0,8})\.(root|targets|snapshot)|(timestamp))\.json", re.ASCII)
_TARGET = re.compile(r"([0-9a-f]{64})\.(.+)", re.ASCII)
_ACCEPT = {Role.ROOT: services.accept_root, Role.TARGETS: services.accept_targets}


class OnlineKeysView(APIView):
    """The keys that a root has to name, so that this server can sign what is the newest."""

    permission_classes = [requires(Scope.PUBLISH)]

    @extend_schema(responses={200: serializers.OnlineKeysSerializer, **problems(503)})
    def get(self, request: Request) -> Response:
        return Response(online_keys().public())


class TrustView(APIView):
    """The trust of a model line, for people."""

    permission_classes = [requires(Scope.READ)]

    @extend_schema(responses={200: serializers.TrustStateSerializer, **problems(404)})
    def get(self, request: Request, model: str) -> Response:
        return Response(serializers.trust_document(queries.get_trust_state(model, actor=actor_of(request))))


class NewsView(APIView):
    """What a device lacks, in one answer."""

    permission_classes = [requires(Scope.READ, device=True)]
    throttle_classes = [by_device("artifacts")]

    @extend_schema(
        parameters=[serializers.NewsQuerySerializer],
        responses={
            200: serializers.NewsSerializer,
            204: OpenApiResponse(description="Nothing is newer."),
            **problems(400, 404, 429),
        },
    )
    def get(self, request: Request, model: str) -> HttpResponse:
        serving.check_may_read_line(model, request)
        query = serializers.NewsQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        news = queries.news_since(model, **query.validated_data)
        if not news:
            return HttpResponse(status=204)
        lacking = {name: text for name, text in asdict(news).items() if text is not None}
        body = json.dumps(lacking, ensure_ascii=False, separators=(",", ":")).encode()
        return json_answer(request, body, cache_control="no-store")


class MetadataView(APIView):
    """A metadata file by the name that TUF gives it."""

    parser_classes = []
    content_negotiation_class = OneForAll
    throttle_classes = [by_device("artifacts")]

    def get_permissions(self) -> list[BasePermission]:
        if self.request.method == "PUT":
            return [requires(Scope.PUBLISH)()]
        return [requires(Scope.READ, device=True)()]

    @extend_schema(
        operation_id="models_metadata_file_retrieve",
        description="`timestamp.json`, or `<version>.root.json`, `.snapshot.json` or `.targets.json`.",
        responses={(200, "application/json"): OpenApiTypes.OBJECT, **problems(404, 429)},
    )
    def get(self, request: Request, model: str, file: str) -> HttpResponse:
        serving.check_may_read_line(model, request)
        role, version = _role_and_version(file)
        found = queries.get_file(model, role, version)
        cache_control = "no-cache" if version is None else serving.CACHE_CONTROL
        return json_answer(request, found.content.encode(), cache_control=cache_control)

    @extend_schema(
        description="`<version>.root.json` or `<version>.targets.json`: 201 when it is new, 200 when the same is there already.",
        request={"application/json": OpenApiTypes.OBJECT},
        responses={
            201: serializers.MetadataFileSerializer,
            200: serializers.MetadataFileSerializer,
            **problems(404, 409, 413, 422, 503),
        },
    )
    def put(self, request: Request, model: str, file: str) -> Response:
        role, version = _role_and_version(file)
        if role not in _ACCEPT or version is None:
            raise NotFound(
                "only roots and targets are signed elsewhere: PUT <version>.root.json or <version>.targets.json"
            )
        accept = _ACCEPT[Role(role)]
        # As it is, for a signature is over bytes; one byte more than the role may have is enough to refuse it.
        content = request._request.read(MAX_BYTES[role] + 1)  # noqa: SLF001 - DRF's wrapper would parse it
        actor = actor_of(request)
        line = get_model_line(model, actor=actor)
        stored, created = accept(actor=actor, model_line=line, version=version, content=content)
        return Response(serializers.MetadataFileSerializer(stored).data, status=201 if created else 200)


def _role_and_version(file: str) -> tuple[str, int | None]:
    """What a file's name says; only the timestamp has no version in its name."""
    matched = _NAME.fullmatch(file)
    if matched is None:
        raise NotFound(f"{file[:80]!r} is no metadata file; TUF names them 1.root.json, 3.targets.json, timestamp.json")
    version, role, timestamp = matched.groups()
    return (timestamp, None) if timestamp else (role, int(version))


class TargetView(APIView):
    """A target's bytes as a TUF client asks for them: the digest stands before the file's name."""

    permission_classes = [requires(Scope.READ, device=True)]
    content_negotiation_class = OneForAll
    throttle_classes = [by_device("artifacts")]

    @extend_schema(
        parameters=[OpenApiParameter("Range", str, OpenApiParameter.HEADER, description="a single range of bytes")],
        responses={
            (200, "application/octet-stream"): OpenApiTypes.BINARY,
            (206, "application/octet-stream"): OpenApiTypes.BINARY,
            304: None,
            307: OpenApiResponse(description="The object store serves the bytes at `Location`."),
            **problems(404, 416, 429, 503),
        },
    )
    def get(self, request: Request, model: str, version: str, file: str) -> HttpResponseBase:
        serving.check_may_read_line(model, request)
        matched = _TARGET.fullmatch(file)
        if matched is None:
            raise NotFound(f"{file[:80]!r} is no target; it is asked for as <sha256>.<variant>")
        artifact = queries.target_variant(model, version, *matched.groups()).artifact
        serving.check_may_read(artifact, request)
        return serving.artifact_answer(artifact, request)
