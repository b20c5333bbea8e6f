"""The ledger in Django's admin, read-only."""

from django.contrib import admin

from access.admin import ReadOnlyAdmin
from fleet.ledger.models import LedgerEntry


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnlyAdmin):
    """Bytes on the wire."""

    list_display = ["device", "attempt_id", "way", "agent_bytes", "server_bytes", "requests"]
    list_select_related = ["device"]
