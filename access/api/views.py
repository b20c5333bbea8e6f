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

from access import people, services
from access.actors import actor_of
from access.api.schema import problems
from access.api.serializers import (
    NewTokenSerializer,
    PersonChangesSerializer,
    PersonRequestSerializer,
    PersonSerializer,
    TokenRequestSerializer,
    TokenSerializer,
    WhoamiSerializer,
)
from access.errors import PermissionRefused
from access.models import ApiToken, Scope
from access.permissions import Known, requires


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
        permits = [
            {"scopes": sorted(permit.scopes), "model_line": permit.model_line, "group": permit.group}
            for permit in actor.permits
        ]
        said = {"kind": actor.kind, "id": actor.id, "name": actor.name, "scopes": sorted(actor.scopes)}
        return Response(WhoamiSerializer({**said, "permits": permits}).data)


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


class PeopleView(ListAPIView[User]):
    """Everybody, with their grants."""

    permission_classes = [requires(Scope.ADMINISTER)]
    serializer_class = PersonSerializer
    queryset = people.people()

    @extend_schema(request=PersonRequestSerializer, responses={201: PersonSerializer, **problems(400, 409)})
    def post(self, request: Request) -> Response:
        wish = PersonRequestSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        person = people.create_person(actor=actor_of(request), **wish.validated_data)
        return Response(PersonSerializer(person).data, status=201)


class PersonView(APIView):
    """One person."""

    permission_classes = [requires(Scope.ADMINISTER)]

    @extend_schema(responses={200: PersonSerializer, **problems(404)})
    def get(self, request: Request, username: str) -> Response:
        return Response(PersonSerializer(people.get_person(username)).data)

    @extend_schema(
        description="What is left out stays. Grants that follow the identity provider's claim stay too.",
        request=PersonChangesSerializer,
        responses={200: PersonSerializer, **problems(400, 404, 409)},
    )
    def patch(self, request: Request, username: str) -> Response:
        changes = PersonChangesSerializer(data=request.data)
        changes.is_valid(raise_exception=True)
        person = people.get_person(username)
        changed = people.change_person(actor=actor_of(request), user=person, **changes.validated_data)
        return Response(PersonSerializer(changed).data)


class PersonTokensView(ListAPIView[ApiToken]):
    """A person's tokens."""

    permission_classes = [requires(Scope.ADMINISTER)]
    serializer_class = TokenSerializer
    queryset = ApiToken.objects.none()  # tells the OpenAPI generator the model; `get_queryset` decides

    def get_queryset(self) -> QuerySet[ApiToken]:
        if getattr(self, "swagger_fake_view", False):
            return self.queryset
        return people.tokens_of(people.get_person(self.kwargs["username"]))


class PersonTokenView(APIView):
    """One token of a person."""

    permission_classes = [requires(Scope.ADMINISTER)]

    @extend_schema(responses={204: None, **problems(404)})
    def delete(self, request: Request, username: str, token_id: UUID) -> Response:
        people.end_token_of(actor=actor_of(request), user=people.get_person(username), token_id=token_id)
        return Response(status=204)
