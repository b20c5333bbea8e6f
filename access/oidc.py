"""Logging in with an identity provider: OpenID Connect's authorization code flow with PKCE, by Authlib. Off unless an issuer is set.

A person is known by issuer and subject, which the provider never gives to anybody else. Names and e-mail addresses change hands: nobody gets into
an account that is here already because a provider says that they are called so. What a claim says of groups becomes grants, anew at each login.
"""

import functools
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest, HttpResponse

from access.actors import SYSTEM
from access.audit.recording import record_audit
from access.errors import LoginRefused, ProviderUnavailable
from access.grants import GrantSpec, parse_grant
from access.models import Grant, Identity
from access.people import create_person, replace_grants, specs_of

log = logging.getLogger(__name__)
TIMEOUT_S = 10
LEEWAY_S = 60
# What an ID token may be signed with: never `none`, and never the client's own secret.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


@dataclass(frozen=True, slots=True)
class Claims:
    """What the provider's signed ID token says of who logs in."""

    issuer: str
    subject: str
    name: str
    groups: tuple[str, ...]


def is_configured() -> bool:
    """Whether people may log in with an identity provider."""
    return bool(settings.SMALLFLEET_OIDC_ISSUER)


def authorization_redirect(request: HttpRequest, *, back: str) -> HttpResponse:
    """Send the browser to the provider; state, nonce and PKCE verifier wait in the session.

    Raises:
        ProviderUnavailable: it does not answer, or not as the issuer that is configured.
    """
    with _refusals():
        client = _client()
        redirect: HttpResponse = client.authorize_redirect(request, back)
    return redirect


def claims_from(request: HttpRequest) -> Claims:
    """Exchange the code that the provider sent back, and check the ID token: signature, issuer, audience, nonce and times.

    Raises:
        LoginRefused: the provider said no, or what it sent does not belong to this login.
        ProviderUnavailable: it does not answer.
    """
    with _refusals():
        client = _client()
        options = {
            "iss": {"essential": True, "values": [settings.SMALLFLEET_OIDC_ISSUER]},
            "aud": {"essential": True, "values": [settings.SMALLFLEET_OIDC_CLIENT_ID]},
            "sub": {"essential": True},
            "exp": {"essential": True},
        }
        token = client.authorize_access_token(request, claims_options=options, leeway=LEEWAY_S)
    said = token.get("userinfo")
    if not said:
        raise LoginRefused("the identity provider sent no ID token")
    return Claims(
        issuer=said["iss"],
        subject=said["sub"],
        name=str(said.get(settings.SMALLFLEET_OIDC_NAME_CLAIM) or said["sub"]),
        groups=_texts(said.get(settings.SMALLFLEET_OIDC_GRANTS_CLAIM)),
    )


def person_of(claims: Claims) -> User:
    """The person of these claims, made at their first login, with the grants that the claims are mapped to.

    Raises:
        LoginRefused: the person is switched off; or nothing is granted to them; or it is their first login and somebody else has the name here.
    """
    grants = grants_of(claims.groups)
    with transaction.atomic():
        known = Identity.objects.select_for_update().filter(issuer=claims.issuer, subject=claims.subject).first()
        person = known.user if known is not None else _new_person(claims, grants)
        replace_grants(actor=SYSTEM, user=person, grants=grants, source=Grant.Source.PROVIDER)
    if not person.is_active:
        raise LoginRefused(f"{person.username} is switched off here; ask an admin")
    if not specs_of(User.objects.get(pk=person.pk)):
        raise LoginRefused(f"nothing is granted to {person.username}; ask an admin, or whoever puts people into groups")
    return person


def grants_of(groups: tuple[str, ...]) -> list[GrantSpec]:
    """What SMALLFLEET_OIDC_GRANTS maps these values of the claim to; each grant once."""
    texts = [text for group in groups for text in settings.SMALLFLEET_OIDC_GRANTS.get(group, "").split()]
    return [parse_grant(text) for text in dict.fromkeys(texts)]


def link_identity(*, user: User, issuer: str, subject: str) -> Identity:
    """Let who has this subject at the provider log in as a person that is here already; their password and its sessions end.

    For a command on the server alone: it is the one way in which a provider gets an account that it did not make.
    """
    with transaction.atomic():
        identity = Identity.objects.create(user=user, issuer=issuer, subject=subject)
        user.set_unusable_password()
        user.save(update_fields=["password"])
        after = {"issuer": issuer, "subject": subject}
        record_audit(actor=SYSTEM, action="link_identity", subject=user.username, after=after)
    return identity


def _new_person(claims: Claims, grants: list[GrantSpec]) -> User:
    if not grants:
        raise LoginRefused(f"nothing is granted to {claims.name!r}; ask whoever puts people into groups")
    if User.objects.filter(username=claims.name).exists():
        raise LoginRefused(
            f"there is a person {claims.name!r} here already, who is not known to be the one at the identity provider;"
            " an admin with a shell on the server runs `smallfleet manage link_identity`"
        )
    person = create_person(actor=SYSTEM, username=claims.name, password=None, grants=[])
    Identity.objects.create(user=person, issuer=claims.issuer, subject=claims.subject)
    return person


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn what Authlib, and the HTTP client below it, raise into refusals. What is not theirs is a defect of ours and goes on."""
    from authlib.integrations.base_client import OAuthError
    from joserfc.errors import JoseError
    from requests import RequestException

    try:
        yield
    except (OAuthError, JoseError) as error:
        log.warning("oidc_login_refused", extra={"error": type(error).__name__, "detail": str(error)[:300]})
        raise LoginRefused("the identity provider refused, or this login was not begun here; begin again") from error
    except RequestException as error:
        log.warning("oidc_provider_unavailable", extra={"error": type(error).__name__})
        raise ProviderUnavailable("the identity provider does not answer; try again") from error


def _texts(value: Any) -> tuple[str, ...]:
    """A claim that is one text or a list of them."""
    if isinstance(value, str):
        return (value,)
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


@functools.cache
def _registered(issuer: str, client_id: str, client_secret: str, scopes: str) -> Any:
    from authlib.integrations.django_client import OAuth

    return OAuth().register(
        name="provider",
        client_id=client_id,
        client_secret=client_secret or None,
        server_metadata_url=f"{issuer.rstrip('/')}/.well-known/openid-configuration",
        client_kwargs={
            "scope": scopes,
            "code_challenge_method": "S256",
            "default_timeout": TIMEOUT_S,
            "token_endpoint_auth_method": "client_secret_basic" if client_secret else "none",
        },
    )


def _client() -> Any:
    client = _registered(
        settings.SMALLFLEET_OIDC_ISSUER,
        settings.SMALLFLEET_OIDC_CLIENT_ID,
        settings.SMALLFLEET_OIDC_CLIENT_SECRET,
        settings.SMALLFLEET_OIDC_SCOPES,
    )
    metadata: Mapping[str, Any] = client.load_server_metadata()
    if metadata.get("issuer") != settings.SMALLFLEET_OIDC_ISSUER:  # OpenID Connect Discovery 1.0, section 4.3
        raise ProviderUnavailable(
            f"the identity provider calls itself {metadata.get('issuer')!r}, not {settings.SMALLFLEET_OIDC_ISSUER!r}"
        )
    offered = metadata.get("id_token_signing_alg_values_supported") or ALGORITHMS
    client.server_metadata["id_token_signing_alg_values_supported"] = [one for one in offered if one in ALGORITHMS]
    return client
