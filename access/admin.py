"""Django's admin, read-only: writes go through services, which check and record them."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from access.models import ApiToken, AuditRecord, Membership


class ReadOnlyAdmin(admin.ModelAdmin[Any]):
    """Shows rows and changes none. The base of every admin class of the project."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(AuditRecord)
class AuditRecordAdmin(ReadOnlyAdmin):
    """Who did what."""

    list_display = ["at", "actor", "action", "subject"]
    list_filter = ["action"]
    search_fields = ["actor", "subject"]


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin):
    """Tokens without their secrets: not even the hash is shown."""

    list_display = ["name", "user", "created_at", "expires_at", "revoked_at", "last_used_at"]
    exclude = ["token_sha256"]


@admin.register(Membership)
class MembershipAdmin(ReadOnlyAdmin):
    """People and their roles."""

    list_display = ["user", "role"]
