"""Registers the app."""

from django.apps import AppConfig


class RolloutsConfig(AppConfig):
    """Rollouts, attempts and events."""

    name = "fleet.rollouts"
    label = "rollouts"
    default_auto_field = "django.db.models.BigAutoField"
