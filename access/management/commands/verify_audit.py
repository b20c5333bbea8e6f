"""`manage.py verify_audit`: whether the audit record is as it was written."""

import re
from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from access.audit.chain import Findings, Head, seal_records, verify

BREAKS_SHOWN = 20


def kept_head(text: str) -> Head:
    """The value of `--head`.

    Raises:
        ArgumentTypeError: it is no `POSITION:SHA256`.
    """
    found = re.fullmatch(r"(\d+):([0-9a-f]{64})", text)
    if found is None:
        raise ArgumentTypeError(f"{text!r} is no POSITION:SHA256 as this command prints it")
    return Head(int(found[1]), found[2])


class Command(BaseCommand):
    """Ends with 0 if the chain holds, with 1 and every place where it breaks if not."""

    help = "Say whether the audit record's chain holds, and print its head, which is worth keeping elsewhere."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--head", type=kept_head, metavar="POSITION:SHA256", help="a head kept elsewhere that must be in the chain"
        )
        parser.add_argument("--seal", action="store_true", help="give waiting records their place first")

    def handle(self, *, head: Head | None, seal: bool, **options: Any) -> None:
        """Go through the chain and print."""
        if seal:
            self.stdout.write(f"sealed now: {seal_records()}")
        found = verify(kept=head)
        if found.breaks:
            raise CommandError("\n".join(["the chain is broken:", *_shown(found.breaks)]))
        self.stdout.write(_words(found))
        if found.waits_too_long:
            raise CommandError("records wait for their place for more than an hour: is a worker running?")


def _words(found: Findings) -> str:
    waiting = f"; {found.waiting} records written since wait for their place" if found.waiting else ""
    if found.waiting_since is not None:
        waiting += f", the oldest of {found.waiting_since.astimezone(UTC).isoformat(timespec='seconds')}"
    return f"the chain holds: {found.head.position} records{waiting}\nhead: {found.head}"


def _shown(breaks: list[str]) -> list[str]:
    rest = len(breaks) - BREAKS_SHOWN
    return [f"  {text}" for text in breaks[:BREAKS_SHOWN]] + ([f"  and {rest} more"] if rest > 0 else [])
