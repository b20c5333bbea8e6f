"""The verbs that write: tokens and the audit record. Those on people are in `access.people`."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from access import tokens
from access.actors import Actor, permits_of_token, permits_of_user
from access.audit.recording import record_audit
from access.errors import NotFound, PermissionRefused, TokenScopeInvalid, Unauthenticated
from access.grants import EVERY, Permit, narrowed
from access.models import ApiToken


@transaction.atomic
def create_token(
    *,
    actor: Actor,
    user: User,
    name: str,
    scopes: Collection[str],
    expires_at: datetime | None = None,
    model_lines: Collection[str] = (),
    groups: Collection[str] = (),
) -> tuple[ApiToken, str]:
    """Create an API token; returns it and its secret, which is never to be had again.

    It has of its owner's grants what lies within its scopes and, where any are named, its model lines and groups. One that is made with a token may
    do no more than that token, and ends with it at the latest: whoever steals a token must not make a bigger or a longer one of it.

    Raises:
        Unauthenticated: the token that asks was revoked at this moment.
        TokenScopeInvalid: a scope, model line or group is more than the owner's grants, or the token that asks, allow.
    """
    allowed, lines, within = permits_of_user(user), sorted(set(model_lines)), sorted(set(groups))
    maker = _locked_maker(actor) if actor.kind == "token" else None
    if maker is not None:
        allowed, expires_at = actor.permits, _earlier(expires_at, maker.expires_at)
        # What the maker is narrowed to, the new one is too: their owner may get more later.
        lines, within = lines or maker.model_lines, within or maker.groups
    _check_within(allowed, scopes, lines, within)
    secret = tokens.new_secret(tokens.PERSON_PREFIX)
    token = ApiToken.objects.create(
        user=user,
        name=name,
        token_sha256=tokens.digest(secret),
        scopes=sorted(set(scopes)),
        model_lines=lines,
        groups=within,
        made_with=maker,
        expires_at=expires_at,
    )
    after = {
        "name": name,
        "owner": user.username,
        "scopes": token.scopes,
        "model_lines": lines,
        "groups": within,
        "expires_at": expires_at,
    }
    record_audit(actor=actor, action="create_token", subject=str(token.id), after=after)
    return token, secret


def _locked_maker(actor: Actor) -> ApiToken:
    """The token that asks; whoever ends it meanwhile waits, and ends the new one too."""
    maker = ApiToken.objects.select_for_update().filter(pk=actor.id, revoked_at=None).first()
    if maker is None:
        raise Unauthenticated("the token is wrong, expired or revoked")
    return maker


def _check_within(
    permits: Collection[Permit], scopes: Collection[str], model_lines: Collection[str], groups: Collection[str]
) -> None:
    """Let only a wish pass of which every part is allowed somewhere.

    Raises:
        TokenScopeInvalid: names what is not.
    """
    left = narrowed(permits, scopes=scopes, model_lines=model_lines, groups=groups)
    beyond = {
        "scopes": set(scopes) - {scope for permit in left for scope in permit.scopes},
        "model lines": set(model_lines) - {permit.model_line for permit in left},
        "groups": set(groups) - {permit.group for permit in left},
    }
    if not scopes or any(beyond.values()):
        said = "; ".join(f"{what}: {', '.join(sorted(names))}" for what, names in beyond.items() if names)
        allowed = ", ".join(map(str, permits)) or "nothing"
        raise TokenScopeInvalid(f"beyond what may be given: {said or 'no scope is named'}; allowed is {allowed}")


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    """The earlier of two ends; None is never."""
    return min((end for end in (one, other) if end is not None), default=None)


@transaction.atomic
def revoke_token(*, actor: Actor, user: User, token_id: UUID) -> None:
    """End a token of `user`; effective at the next request. Ending it twice is harmless.

    Raises:
        NotFound: the person has no such token.
        PermissionRefused: it may do what the token that asks may not.
    """
    token = ApiToken.objects.select_related("user").filter(pk=token_id, user=user).first()
    if token is None:
        raise NotFound(f"you have no token {token_id}")
    if actor.kind == "token" and not _is_within(permits_of_token(token), actor.permits):
        raise PermissionRefused(f"the token {token_id} may do more than {actor.label}")
    end_token(actor=actor, token=token)


@transaction.atomic
def end_token(*, actor: Actor, token: ApiToken) -> None:
    """End a token, whoever's, and every one that was made with it; effective at the next request. Ending it twice is harmless."""
    ending = [token]
    while ending:  # no recursion: a thief may have made a long line of them
        token = ending.pop()
        _end_one(actor, token)
        ending += token.made.filter(revoked_at=None).select_related("user")


def _end_one(actor: Actor, token: ApiToken) -> None:
    now = timezone.now()
    if ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=now):
        record_audit(
            actor=actor,
            action="revoke_token",
            subject=str(token.pk),
            before={"revoked_at": None},
            after={"revoked_at": now},
            detail={"name": token.name, "owner": token.user.get_username()},
        )


def _is_within(permits: Collection[Permit], others: Collection[Permit]) -> bool:
    """Whether everything that `permits` allow, `others` allow too."""
    return all(
        any(other.covers(scope, permit.model_line or EVERY, permit.group or EVERY) for other in others)
        for permit in permits
        for scope in permit.scopes
    )
