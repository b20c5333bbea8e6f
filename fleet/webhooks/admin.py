"""Django's admin, read-only. No nonce and no address: with the server's key a nonce makes a secret, and an address may hold one."""

from django.contrib import admin

from access.admin import ReadOnlyAdmin
from fleet.webhooks.models import Delivery, Webhook


@admin.register(Webhook)
class WebhookAdmin(ReadOnlyAdmin):
    """Who is told of what."""

    list_display = ["id", "kinds", "enabled", "created_at"]
    exclude = ["url", "secret_nonce", "previous_nonce"]


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    """What came of each delivery."""

    list_display = ["id", "webhook", "state", "attempts", "created_at"]
    list_filter = ["state"]
    list_select_related = ["webhook"]
