"""`manage.py collect_orphans [--hours 24]`."""

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from registry.collection import collect_orphans


class Command(BaseCommand):
    """Removes staged files, stored files and artifacts that nothing refers to."""

    help = "Remove staged files, stored files and artifacts that nothing has referred to for some hours."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--hours", type=float, default=24.0, help="spare what is younger (default: 24, at least 1)")

    def handle(self, *args: Any, **options: Any) -> None:
        collected = collect_orphans(older_than=timedelta(hours=max(1.0, options["hours"])))
        self.stdout.write(
            f"removed {collected.staged} staged files, {collected.files} files without a row, "
            f"{collected.artifacts} artifacts without a use"
        )
