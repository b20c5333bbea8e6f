"""Registers the app."""

from django.apps import AppConfig


class OperationsConfig(AppConfig):
    """Running it: the worker, the periodic jobs, the first admin."""

    name = "fleet.operations"
    label = "operations"
    default_auto_field = "django.db.models.BigAutoField"
