"""Registers the app, and its ear at the registry."""

from django.apps import AppConfig


class LedgerConfig(AppConfig):
    """Bytes on the wire, and forecasts of them."""

    name = "fleet.ledger"
    label = "ledger"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from fleet.ledger.listeners import on_artifact_served
        from registry.signals import artifact_served

        artifact_served.connect(on_artifact_served, dispatch_uid="ledger")
