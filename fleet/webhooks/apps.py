"""Registers the app, and its ear at the registry."""

from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    """Other programs are told what happens."""

    name = "fleet.webhooks"
    label = "webhooks"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from fleet.webhooks.listeners import on_version_published, on_version_yanked
        from registry.signals import version_published, version_yanked

        version_published.connect(on_version_published, dispatch_uid="webhooks")
        version_yanked.connect(on_version_yanked, dispatch_uid="webhooks")
