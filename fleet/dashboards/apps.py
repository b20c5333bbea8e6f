"""Registers the app."""

from django.apps import AppConfig


class DashboardsConfig(AppConfig):
    """The pages of operators."""

    name = "fleet.dashboards"
    label = "dashboards"
    default_auto_field = "django.db.models.BigAutoField"
