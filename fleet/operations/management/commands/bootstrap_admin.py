"""`manage.py bootstrap_admin`: the first person, who may then do everything else over the API."""

import secrets
from argparse import ArgumentParser
from json import dumps
from typing import Any

from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from access.actors import SYSTEM
from access.models import Role, Scope
from access.services import create_person, create_token


class Command(BaseCommand):
    """Prints the password it made and the token once; neither can be had again."""

    help = "Create an admin, and with --token-name an API token of theirs with all scopes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--username", default="admin")
        password = parser.add_mutually_exclusive_group(required=True)
        password.add_argument("--password", help="at least 12 characters; better --random, which no history keeps")
        password.add_argument("--random", action="store_true", help="make one and print it")
        parser.add_argument("--token-name", help="make an API token of this name too")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(
        self,
        *,
        username: str,
        password: str | None,
        token_name: str | None,
        json: bool,
        **options: Any,
    ) -> None:
        """Create and print."""
        if User.objects.filter(username=username).exists():
            raise CommandError(f"there is a person {username!r} already; choose another --username")
        chosen = password if password is not None else secrets.token_urlsafe(18)
        created = {"username": username, **self._create(username, chosen, token_name)}
        if password is None:
            created["password"] = chosen
        self.stdout.write(dumps(created) if json else _as_text(created))

    def _create(self, username: str, password: str, token_name: str | None) -> dict[str, str]:
        try:
            validate_password(password, User(username=username))
        except ValidationError as error:
            raise CommandError("the password is too weak: " + " ".join(error.messages)) from error
        person = create_person(actor=SYSTEM, username=username, password=password, role=Role.ADMIN)
        if token_name is None:
            return {}
        token, secret = create_token(actor=SYSTEM, user=person, name=token_name, scopes=Scope.values)
        return {"token": secret, "token_id": str(token.pk)}


def _as_text(created: dict[str, str]) -> str:
    return "\n".join(f"{key}: {value}" for key, value in created.items())
