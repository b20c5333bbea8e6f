"""`manage.py bootstrap_admin`: the first person, who may then do everything else over the API."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from access.grants import GrantSpec
from access.models import Role
from fleet.operations.people import add_password_arguments, new_person, printed


class Command(BaseCommand):
    """Prints the password it made and the token once; neither can be had again."""

    help = "Create an admin, and with --token-name an API token of theirs with all scopes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--username", default="admin")
        parser.add_argument("--token-name", help="make an API token of this name too")
        add_password_arguments(parser)

    def handle(
        self, *, username: str, password: str | None, token_name: str | None, json: bool, **options: Any
    ) -> None:
        """Create and print."""
        made = new_person(username=username, password=password, grants=[GrantSpec(Role.ADMIN)], token_name=token_name)
        self.stdout.write(printed(made, json=json))
