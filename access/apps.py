"""Registers the app."""

from django.apps import AppConfig


class AccessConfig(AppConfig):
    """People, tokens, roles, audit."""

    name = "access"
    default_auto_field = "django.db.models.BigAutoField"
