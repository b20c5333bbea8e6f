"""Registers the app."""

from django.apps import AppConfig


class LedgerConfig(AppConfig):
    """Bytes on the wire, and forecasts of them."""

    name = "fleet.ledger"
    label = "ledger"
    default_auto_field = "django.db.models.BigAutoField"
