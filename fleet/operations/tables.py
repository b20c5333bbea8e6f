"""Whether the database has been prepared, asked before a command would fail on it half-way."""

from django.apps import apps
from django.core.management.base import CommandError
from django.db import connection

MISCONFIGURED = 2


def require_tables() -> None:
    """Go on only with a database that has its tables.

    Raises:
        CommandError: it has none, or not all; the exit code is 2.
    """
    wanted = {model._meta.db_table for model in apps.get_models()}  # noqa: SLF001 - Django's documented name for it
    missing = wanted.difference(connection.introspection.table_names())
    if missing:
        lack = "has no tables yet" if missing == wanted else f"lacks tables ({', '.join(sorted(missing))})"
        raise CommandError(f"the database {lack}: run `smallfleet manage migrate`", returncode=MISCONFIGURED)
