"""What the commands that create people and tokens share: options, refusals in words, and how the outcome is printed."""

import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from json import dumps
from math import isfinite
from pathlib import Path

from django.contrib.auth.models import User
from django.core.management.base import CommandError
from django.db import transaction
from django.utils import timezone

from access.actors import SYSTEM, actor_of_user
from access.errors import GrantInvalid, ProblemError
from access.grants import GrantSpec, parse_grant
from access.people import create_person, new_password, specs_of
from access.services import create_token
from fleet.operations.tables import require_tables


def add_password_arguments(parser: ArgumentParser) -> None:
    """Declare `--password-file` and `--random`, one of which is needed, and `--json`. No secret is an argument, which `ps` shows to everybody."""
    password = parser.add_mutually_exclusive_group(required=True)
    password.add_argument(
        "--password-file",
        dest="password",
        type=_secret_of,
        metavar="FILE",
        help="its first line is the password, of at least 12 characters; - is standard input",
    )
    password.add_argument("--random", action="store_true", help="make one and print it")
    add_json_argument(parser)


def _secret_of(file: str) -> str:
    """The first line of a file, or of standard input.

    Raises:
        ArgumentTypeError: it cannot be read.
    """
    try:
        text = sys.stdin.readline() if file == "-" else Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ArgumentTypeError(f"{file} cannot be read: {error}") from error
    return text.partition("\n")[0]


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
    *,
    username: str,
    password: str | None,
    grants: Collection[GrantSpec],
    token_name: str | None,
    scopes: Collection[str] | None = None,
) -> dict[str, str]:
    """Create a person, with `token_name` a token too; what is to be printed, secrets included.

    Args:
        username: of the person; nobody else's.
        password: None makes one, which is returned.
        grants: what the person may do, and where.
        token_name: None makes no token.
        scopes: of the token; None is all that the grants allow.

    Raises:
        CommandError: the database has no tables yet, the name is taken, the password too weak, or a scope beyond the grants.
    """
    require_tables()
    chosen = password if password is not None else new_password()
    with refusals_in_words():
        person = create_person(actor=SYSTEM, username=username, password=chosen, grants=grants)
    made = {"username": person.username, "grants": " ".join(str(grant) for grant in specs_of(person))}
    if token_name is not None:
        made |= new_token(user=person, name=token_name, scopes=scopes)
    if password is None:
        made["password"] = chosen
    return made


def new_token(
    *,
    user: User,
    name: str,
    scopes: Collection[str] | None,
    expires_at: datetime | None = None,
    model_lines: Collection[str] = (),
    groups: Collection[str] = (),
) -> dict[str, str]:
    """Create a token; what is to be printed, its secret included. Without scopes it has all that its owner's grants allow.

    Raises:
        CommandError: a scope, model line or group is beyond the person's grants.
    """
    wanted = scopes or actor_of_user(user).scopes
    with refusals_in_words():
        token, secret = create_token(
            actor=SYSTEM,
            user=user,
            name=name,
            scopes=wanted,
            expires_at=expires_at,
            model_lines=model_lines,
            groups=groups,
        )
    made = {"token": secret, "token_id": str(token.pk), "scopes": " ".join(token.scopes)}
    return made if expires_at is None else {**made, "expires_at": expires_at.isoformat()}


@contextmanager
def refusals_in_words() -> Iterator[None]:
    """Let a refusal of a service end the command with its words."""
    try:
        yield
    except ProblemError as error:
        raise CommandError(error.detail) from error


def grant_argument(text: str) -> GrantSpec:
    """The value of `--grant`.

    Raises:
        ArgumentTypeError: it is no grant.
    """
    try:
        return parse_grant(text)
    except GrantInvalid as error:
        raise ArgumentTypeError(error.detail) from error


def printed(made: dict[str, str], *, json: bool) -> str:
    """What was made, as one JSON object or line by line."""
    return dumps(made) if json else "\n".join(f"{key}: {value}" for key, value in made.items())
