"""Who sends a request to the API: a person's token, or the session of the dashboard."""

import hmac
from datetime import timedelta

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Q
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.request import Request

from access import tokens
from access.errors import Unauthenticated
from access.models import ApiToken

LAST_USED_GRAIN = timedelta(hours=1)


def bearer_of(request: Request, prefix: str) -> str | None:
    """The bearer token of the request if it begins with `prefix`, else None: another authentication's business."""
    header = request.META.get("HTTP_AUTHORIZATION", "")
    scheme, _, secret = header.partition(" ")
    secret = secret.strip()
    return secret if scheme.lower() == "bearer" and secret.startswith(prefix) else None


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer sft_…`. Also answers for every bearer token of an unknown kind, so that none passes as anonymous."""

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser, ApiToken] | None:
        secret = bearer_of(request, tokens.PERSON_PREFIX)
        if secret is None:
            if request.META.get("HTTP_AUTHORIZATION") and bearer_of(request, tokens.DEVICE_PREFIX) is None:
                raise Unauthenticated("the Authorization header holds no token of this server")
            return None
        wanted = tokens.digest(secret)
        token = ApiToken.objects.select_related("user").filter(token_sha256=wanted, revoked_at=None).first()
        if token is None or not hmac.compare_digest(token.token_sha256, wanted) or not _usable(token):
            raise Unauthenticated("the token is wrong, expired or revoked")
        _note_use(token)
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="smallfleet"'


def _usable(token: ApiToken) -> bool:
    return token.user.is_active and (token.expires_at is None or token.expires_at > timezone.now())


def _note_use(token: ApiToken) -> None:
    """Keep the time of last use to the hour, so that reading stays reading."""
    now = timezone.now()
    if token.last_used_at is None or token.last_used_at < now - LAST_USED_GRAIN:
        stale = Q(last_used_at=None) | Q(last_used_at__lt=now - LAST_USED_GRAIN)
        ApiToken.objects.filter(stale, pk=token.pk).update(last_used_at=now)


class ApiSessionAuthentication(SessionAuthentication):
    """The dashboard's session, with CSRF; asks for a bearer token where there is none, so that the answer is 401 and not 403."""

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="smallfleet"'
