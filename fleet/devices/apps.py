"""Registers the app."""

from django.apps import AppConfig


class DevicesConfig(AppConfig):
    """Devices: enrollment, polls, groups, link classes."""

    name = "fleet.devices"
    label = "devices"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from fleet.devices.api import openapi  # noqa: F401 - registers itself
