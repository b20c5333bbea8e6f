"""`manage.py create_person`: a person with one role, and with `--token-name` an API token of theirs."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from access.models import Role, Scope
from fleet.operations.people import add_password_arguments, new_person, printed


class Command(BaseCommand):
    """Prints the password it made and the token once; neither can be had again."""

    help = "Create a person who may read, publish, operate or administer, by their role."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--username", required=True)
        parser.add_argument("--role", required=True, choices=Role.values)
        parser.add_argument("--token-name", help="make an API token of this name too")
        parser.add_argument(
            "--scope",
            action="append",
            choices=Scope.values,
            help="of the token, may be given several times; without it, all that the role allows",
        )
        add_password_arguments(parser)

    def handle(
        self,
        *,
        username: str,
        role: str,
        password: str | None,
        token_name: str | None,
        scope: list[str] | None,
        json: bool,
        **options: Any,
    ) -> None:
        """Create and print."""
        if scope and token_name is None:
            raise CommandError("--scope is of a token: give --token-name too")
        made = new_person(username=username, password=password, role=Role(role), token_name=token_name, scopes=scope)
        self.stdout.write(printed(made, json=json))
