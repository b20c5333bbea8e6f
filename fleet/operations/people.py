"""What the commands that create people and tokens share: options, refusals in words, and how the outcome is printed."""

import secrets
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Collection
from datetime import datetime, timedelta
from json import dumps
from math import isfinite

from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db import transaction
from django.utils import timezone

from access.actors import SYSTEM
from access.errors import ProblemError
from access.models import ROLE_SCOPES, Role
from access.services import create_person, create_token
from fleet.operations.tables import require_tables

PASSWORD_BYTES = 18


def add_password_arguments(parser: ArgumentParser) -> None:
    """Declare `--password` and `--random`, one of which is needed, and `--json`."""
    password = parser.add_mutually_exclusive_group(required=True)
    password.add_argument("--password", help="at least 12 characters; better --random, which no history keeps")
    password.add_argument("--random", action="store_true", help="make one and print it")
    add_json_argument(parser)


def add_json_argument(parser: ArgumentParser) -> None:
    """Declare `--json`."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def days(text: str) -> timedelta:
    """The value of `--expires-in-d`: days from now, more than 0.

    Raises:
        ArgumentTypeError: it is no such number.
    """
    try:
        number = float(text)
        span = timedelta(days=number)
        _ = timezone.now() + span
    except (ValueError, OverflowError) as error:
        raise ArgumentTypeError(f"{text!r} is no number of days") from error
    if not isfinite(number) or span <= timedelta(0):
        raise ArgumentTypeError(f"{text} days is not in the future")
    return span


@transaction.atomic
def new_person(
    *, username: str, password: str | None, role: Role, token_name: str | None, scopes: Collection[str] | None = None
) -> dict[str, str]:
    """Create a person, with `token_name` a token too; what is to be printed, secrets included.

    Args:
        username: of the person; nobody else's.
        password: None makes one, which is returned.
        role: what the person may do.
        token_name: None makes no token.
        scopes: of the token; None is all that the role allows.

    Raises:
        CommandError: the database has no tables yet, the name is taken, the password too weak, or a scope beyond the role.
    """
    require_tables()
    if User.objects.filter(username=username).exists():
        raise CommandError(f"there is a person {username!r} already; choose another --username")
    chosen = password if password is not None else secrets.token_urlsafe(PASSWORD_BYTES)
    person = User(username=username)
    try:
        person.clean_fields(exclude=["password"])
        validate_password(chosen, person)
    except ValidationError as error:
        what = "the username is not valid" if hasattr(error, "error_dict") else "the password is too weak"
        raise CommandError(f"{what}: " + " ".join(error.messages)) from error
    person = create_person(actor=SYSTEM, username=username, password=chosen, role=role)
    made = {"username": username, "role": role.value}
    if token_name is not None:
        made |= new_token(user=person, name=token_name, scopes=scopes or ROLE_SCOPES[role])
    if password is None:
        made["password"] = chosen
    return made


def new_token(*, user: User, name: str, scopes: Collection[str], expires_at: datetime | None = None) -> dict[str, str]:
    """Create a token; what is to be printed, its secret included.

    Raises:
        CommandError: a scope is beyond the person's role.
    """
    try:
        token, secret = create_token(actor=SYSTEM, user=user, name=name, scopes=scopes, expires_at=expires_at)
    except ProblemError as error:
        raise CommandError(error.detail) from error
    made = {"token": secret, "token_id": str(token.pk), "scopes": " ".join(token.scopes)}
    return made if expires_at is None else {**made, "expires_at": expires_at.isoformat()}


def printed(made: dict[str, str], *, json: bool) -> str:
    """What was made, as one JSON object or line by line."""
    return dumps(made) if json else "\n".join(f"{key}: {value}" for key, value in made.items())
