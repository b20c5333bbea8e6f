"""`manage.py create_token`: an API token of a person who has none, and so cannot make one over the API."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from access.models import Scope
from fleet.operations.people import add_json_argument, days, new_token, printed
from fleet.operations.tables import require_tables


class Command(BaseCommand):
    """Prints the token once; it cannot be had again."""

    help = "Create an API token of a person."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--username", required=True, help="whose it is")
        parser.add_argument("--name", required=True, help="what it is for, e.g. 'ci of keyword-spotter'")
        parser.add_argument(
            "--scope",
            action="append",
            choices=Scope.values,
            help="may be given several times; without it, all that the person's grants allow",
        )
        parser.add_argument("--model", action="append", default=[], help="only for this model line; several times")
        parser.add_argument("--group", action="append", default=[], help="only for this device group; several times")
        parser.add_argument("--expires-in-d", type=days, help="days until it ends; never, if not given")
        add_json_argument(parser)

    def handle(
        self,
        *,
        username: str,
        name: str,
        scope: list[str] | None,
        model: list[str],
        group: list[str],
        expires_in_d: timedelta | None,
        json: bool,
        **options: Any,
    ) -> None:
        """Create and print."""
        require_tables()
        person = User.objects.filter(username=username).first()
        if person is None:
            raise CommandError(f"there is no person {username!r}; `smallfleet manage create_person` makes one")
        expires_at = None if expires_in_d is None else timezone.now() + expires_in_d
        made = new_token(user=person, name=name, scopes=scope, expires_at=expires_at, model_lines=model, groups=group)
        self.stdout.write(printed({"username": username, **made}, json=json))
