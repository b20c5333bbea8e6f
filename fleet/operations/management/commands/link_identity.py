"""`manage.py link_identity`: somebody whom the identity provider knows logs in as a person that is here already."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import IntegrityError

from access import oidc
from access.people import get_person
from fleet.operations.people import refusals_in_words
from fleet.operations.tables import require_tables


class Command(BaseCommand):
    """Ends the person's password: from then on the identity provider alone lets them in."""

    help = "Let who has this subject at the identity provider log in as this person."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--username", required=True, help="who is here")
        parser.add_argument("--subject", required=True, help="the `sub` claim of their ID tokens")

    def handle(self, *, username: str, subject: str, **options: Any) -> None:
        """Link."""
        require_tables()
        if not oidc.is_configured():
            raise CommandError("no identity provider is configured; set SMALLFLEET_OIDC_ISSUER")
        with refusals_in_words():
            person = get_person(username)
        try:
            oidc.link_identity(user=person, issuer=settings.SMALLFLEET_OIDC_ISSUER, subject=subject)
        except IntegrityError as error:
            raise CommandError(f"the subject {subject!r} logs in as another person already") from error
        self.stdout.write(f"{username} logs in with the identity provider, and has no password here any more")
