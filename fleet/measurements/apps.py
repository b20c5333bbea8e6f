"""Registers the app."""

from django.apps import AppConfig


class MeasurementsConfig(AppConfig):
    """Benchmark reports from devices."""

    name = "fleet.measurements"
    label = "measurements"
    default_auto_field = "django.db.models.BigAutoField"
