"""Registers the app."""

from django.apps import AppConfig


class RegistryConfig(AppConfig):
    """What can run."""

    name = "registry"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from registry.checks import register_checks

        register_checks()
