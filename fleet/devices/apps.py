"""Registers the app."""

from django.apps import AppConfig


class DevicesConfig(AppConfig):
    """Devices: enrollment, polls, groups, link classes."""

    name = "fleet.devices"
    label = "devices"
    default_auto_field = "django.db.models.BigAutoField"
