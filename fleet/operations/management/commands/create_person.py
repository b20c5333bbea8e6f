"""`manage.py create_person`: a person with their grants, and with `--token-name` an API token of theirs."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from access.grants import GrantSpec
from access.models import Scope
from fleet.operations.people import add_password_arguments, grant_argument, new_person, printed


class Command(BaseCommand):
    """Prints the password it made and the token once; neither can be had again."""

    help = "Create a person who may read, publish, operate or administer, everywhere or in a model line or group."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--username", required=True)
        parser.add_argument(
            "--grant",
            action="append",
            required=True,
            type=grant_argument,
            help="role, role:model-line, role@group or role:model-line@group; may be given several times",
        )
        parser.add_argument("--token-name", help="make an API token of this name too")
        parser.add_argument(
            "--scope",
            action="append",
            choices=Scope.values,
            help="of the token, may be given several times; without it, all that the grants allow",
        )
        add_password_arguments(parser)

    def handle(
        self,
        *,
        username: str,
        grant: list[GrantSpec],
        password: str | None,
        token_name: str | None,
        scope: list[str] | None,
        json: bool,
        **options: Any,
    ) -> None:
        """Create and print."""
        if scope and token_name is None:
            raise CommandError("--scope is of a token: give --token-name too")
        made = new_person(username=username, password=password, grants=grant, token_name=token_name, scopes=scope)
        self.stdout.write(printed(made, json=json))
