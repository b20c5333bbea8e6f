"""Routes of access."""

from typing import cast
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access import services
from access.actors import actor_of
from access.api.serializers import NewTokenSerializer, TokenRequestSerializer, TokenSerializer, WhoamiSerializer
from access.errors import PermissionRefused
from access.models import ApiToken
from access.permissions import Known


def _person(request: Request) -> User:
    """The person behind a session or token; tokens are people's."""
    if actor_of(request).kind not in {"person", "token"}:
        raise PermissionRefused("only people have tokens")
    return cast(User, request.user)


class WhoamiView(APIView):
    """Who the request comes from, and what it may do."""

    permission_classes = [Known]

    @extend_schema(responses=WhoamiSerializer)
    def get(self, request: Request) -> Response:
        actor = actor_of(request)
        return Response({"kind": actor.kind, "id": actor.id, "name": actor.name, "scopes": sorted(actor.scopes)})


class TokensView(ListAPIView[ApiToken]):
    """The person's own tokens."""

    permission_classes = [Known]
    serializer_class = TokenSerializer

    def get_queryset(self) -> QuerySet[ApiToken]:
        return ApiToken.objects.filter(user=_person(self.request))

    @extend_schema(request=TokenRequestSerializer, responses={201: NewTokenSerializer})
    def post(self, request: Request) -> Response:
        wish = TokenRequestSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        token, secret = services.create_token(actor=actor_of(request), user=_person(request), **wish.validated_data)
        return Response({**TokenSerializer(token).data, "token": secret}, status=201)


class TokenView(APIView):
    """One token of the person."""

    permission_classes = [Known]

    @extend_schema(responses={204: None})
    def delete(self, request: Request, token_id: UUID) -> Response:
        services.revoke_token(actor=actor_of(request), user=_person(request), token_id=token_id)
        return Response(status=204)
