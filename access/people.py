"""The verbs of admins on people: create, grant, switch off and on, set a password. There is always an active admin left."""

import secrets
from collections.abc import Callable, Collection, Iterable
from uuid import UUID

from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from access.actors import Actor
from access.audit.recording import record_audit
from access.errors import InvalidInput, LastAdmin, NotFound, PersonTaken
from access.grants import GrantSpec, check_grant
from access.models import ApiToken, Grant, Role, Scope
from access.services import end_token

PASSWORD_BYTES = 18


def new_password() -> str:
    """A password that nobody has chosen: 144 random bits."""
    return secrets.token_urlsafe(PASSWORD_BYTES)


def people() -> QuerySet[User]:
    """Everybody, with their grants."""
    return User.objects.prefetch_related("grants", "identities").order_by("username")


def get_person(username: str) -> User:
    """The person of this name.

    Raises:
        NotFound: there is none.
    """
    person = people().filter(username=username).first()
    if person is None:
        raise NotFound(f"there is no person {username!r}")
    return person


def tokens_of(user: User) -> QuerySet[ApiToken]:
    """The person's tokens, newest first, the ended ones too."""
    return ApiToken.objects.select_related("user").filter(user=user).order_by("-created_at")


def specs_of(user: User) -> list[GrantSpec]:
    """The person's grants as values."""
    return [GrantSpec(Role(grant.role), grant.model_line, grant.group) for grant in user.grants.all()]


def end_token_of(*, actor: Actor, user: User, token_id: UUID) -> None:
    """End somebody's token; ending it twice is harmless.

    Raises:
        PermissionRefused: only admins do.
        NotFound: the person has no such token.
    """
    actor.requires(Scope.ADMINISTER)
    token = tokens_of(user).filter(pk=token_id).first()
    if token is None:
        raise NotFound(f"{user.username} has no token {token_id}")
    end_token(actor=actor, token=token)


def is_group_granted(name: str) -> bool:
    """Whether a grant, or a token that still works, is for the group of this name."""
    if Grant.objects.filter(group=name).exists():
        return True
    usable = ApiToken.objects.filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()), revoked_at=None)
    # Few have any; no database of ours searches a JSON list in the same way as the other.
    return any(name in groups for groups in usable.exclude(groups=[]).values_list("groups", flat=True))


def create_person(*, actor: Actor, username: str, password: str | None, grants: Iterable[GrantSpec]) -> User:
    """Create a person with these grants. Without a password nobody logs in as them: they have tokens, or an identity provider knows them.

    Raises:
        PermissionRefused: only admins create people.
        InvalidInput: the name is not valid, or the password too weak.
        PersonTaken: there is a person of this name.
        GrantInvalid: a role cannot be restricted like that.
    """
    actor.requires(Scope.ADMINISTER)
    wanted = sorted(set(grants), key=str)
    person = User(username=User.normalize_username(username))
    _check("username", lambda: person.clean_fields(exclude=["password"]))
    if password is not None:
        _check("password", lambda: validate_password(password, person))
    person.set_password(password)  # None: a hash that no password has
    if User.objects.filter(username=person.username).exists():
        raise PersonTaken(f"there is a person {username!r} already; choose another name")
    try:
        with transaction.atomic():
            person.save(force_insert=True)
            _grant(person, wanted, Grant.Source.PEOPLE)
            record_audit(actor=actor, action="create_person", subject=person.username, after=_grants(wanted))
    except IntegrityError as error:
        raise PersonTaken(f"there is a person {username!r} already; choose another name") from error
    return person


def set_grants(*, actor: Actor, user: User, grants: Iterable[GrantSpec]) -> User:
    """Put these in the place of the grants that admins gave; those of an identity provider follow its claim and stay.

    Raises:
        PermissionRefused: only admins grant.
        GrantInvalid: a role cannot be restricted like that.
        LastAdmin: nobody else is an active admin.
    """
    actor.requires(Scope.ADMINISTER)
    with transaction.atomic():
        had_admin = _lock_admins()
        replace_grants(actor=actor, user=user, grants=grants, source=Grant.Source.PEOPLE)
        _check_admin_left(had_admin)
    return get_person(user.username)


def replace_grants(*, actor: Actor, user: User, grants: Iterable[GrantSpec], source: Grant.Source) -> None:
    """Put these in the place of the person's grants of one source; call it in a transaction. The same again writes nothing."""
    wanted = sorted(set(grants), key=str)
    held = Grant.objects.filter(user=user, source=source)
    before = sorted((GrantSpec(Role(row.role), row.model_line, row.group) for row in held), key=str)
    if before == wanted:
        return
    held.delete()
    _grant(user, wanted, source)
    record_audit(actor=actor, action="set_grants", subject=user.username, before=_grants(before), after=_grants(wanted))


@transaction.atomic
def change_person(
    *,
    actor: Actor,
    user: User,
    is_active: bool | None = None,
    password: str | None = None,
    grants: Iterable[GrantSpec] | None = None,
) -> User:
    """Change what is given, all of it or nothing; what is None stays.

    Raises:
        As `set_grants`, `set_active` and `set_password`.
    """
    if grants is not None:
        set_grants(actor=actor, user=user, grants=grants)
    if password is not None:
        set_password(actor=actor, user=user, password=password)
    if is_active is not None:
        set_active(actor=actor, user=user, is_active=is_active)
    return get_person(user.username)


def set_active(*, actor: Actor, user: User, is_active: bool) -> User:
    """Switch the person off: no session and no token of theirs is let in from the next request on. Or on again.

    Raises:
        PermissionRefused: only admins do.
        LastAdmin: nobody else is an active admin.
    """
    actor.requires(Scope.ADMINISTER)
    with transaction.atomic():
        had_admin = _lock_admins()
        if User.objects.filter(pk=user.pk, is_active=not is_active).update(is_active=is_active):
            _check_admin_left(had_admin)
            action = "activate_person" if is_active else "deactivate_person"
            record_audit(
                actor=actor,
                action=action,
                subject=user.username,
                before={"is_active": not is_active},
                after={"is_active": is_active},
            )
    return get_person(user.username)


def set_password(*, actor: Actor, user: User, password: str) -> None:
    """Give the person a password; their sessions end.

    Raises:
        PermissionRefused: only admins do.
        InvalidInput: it is too weak, or an identity provider logs the person in.
    """
    actor.requires(Scope.ADMINISTER)
    if user.identities.exists():
        raise InvalidInput(f"{user.username} logs in with an identity provider and has no password here")
    _check("password", lambda: validate_password(password, user))
    with transaction.atomic():
        user.set_password(password)
        user.save(update_fields=["password"])
        record_audit(actor=actor, action="set_password", subject=user.username)


def _grants(specs: Iterable[GrantSpec]) -> dict[str, list[str]]:
    return {"grants": [str(grant) for grant in specs]}


def _grant(user: User, wanted: Collection[GrantSpec], source: Grant.Source) -> None:
    for grant in wanted:
        check_grant(grant)
    Grant.objects.bulk_create(
        Grant(user=user, role=grant.role, model_line=grant.model_line, group=grant.group, source=source)
        for grant in wanted
    )
    # Django's own admin is read-only here, shows everything, and is open to admins alone.
    is_admin = Grant.objects.filter(user=user, role=Role.ADMIN).exists()
    User.objects.filter(pk=user.pk).update(is_staff=is_admin, is_superuser=is_admin)


def _lock_admins() -> bool:
    """Whether there is an active admin. Of two changes at once that would each leave the other's admin, the second waits here and sees the first."""
    admins = Grant.objects.select_for_update(of=("self",)).filter(role=Role.ADMIN).order_by("pk")
    return any(active for _, active in admins.values_list("pk", "user__is_active"))


def _check_admin_left(had_admin: bool) -> None:  # noqa: FBT001 - what `_lock_admins` said
    if had_admin and not Grant.objects.filter(role=Role.ADMIN, user__is_active=True).exists():
        raise LastAdmin("nobody else is an active admin; make another one first")


def _check(field: str, rule: Callable[[], None]) -> None:
    try:
        rule()
    except ValidationError as error:
        raise InvalidInput(
            f"the {field} is not valid: {' '.join(error.messages)}",
            errors=[{"field": field, "message": message} for message in error.messages],
        ) from error
