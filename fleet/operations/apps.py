"""Registers the app, its checks and what the OpenAPI document says about credentials."""

from django.apps import AppConfig


class OperationsConfig(AppConfig):
    """Running it: the worker, the periodic jobs, the first admin."""

    name = "fleet.operations"
    label = "operations"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from fleet.operations import checks, openapi  # noqa: F401 - both register themselves
