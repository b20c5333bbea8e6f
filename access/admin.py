"""Django's admin, read-only: writes go through services, which check and record them."""

from typing import Any

from django.contrib import admin
from django.contrib.auth import admin as _djangos_own  # noqa: F401 - registers what is taken back below
from django.contrib.auth.models import Group, User
from django.http import HttpRequest

from access.audit.models import AuditRecord, AuditSeal
from access.models import ApiToken, Grant, Identity


class ReadOnlyAdmin(admin.ModelAdmin[Any]):
    """Shows rows and changes none. The base of every admin class of the project."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


# Django registers its own, which write: a person made there would have no role and no line in the audit record. Its groups mean nothing here.
admin.site.unregister([User, Group])


@admin.register(User)
class UserAdmin(ReadOnlyAdmin):
    """People, without the hashes of their passwords."""

    list_display = ["username", "is_active", "is_staff", "last_login"]
    exclude = ["password", "groups", "user_permissions"]


@admin.register(AuditRecord)
class AuditRecordAdmin(ReadOnlyAdmin):
    """Who did what."""

    list_display = ["at", "actor", "action", "subject", "address"]
    list_filter = ["action"]
    search_fields = ["actor", "subject"]
    show_full_result_count = False


@admin.register(AuditSeal)
class AuditSealAdmin(ReadOnlyAdmin):
    """The chain of the audit record."""

    list_display = ["position", "record", "sha256"]
    list_select_related = ["record"]
    show_full_result_count = False


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin):
    """Tokens without their secrets: not even the hash is shown."""

    list_display = ["name", "user", "created_at", "expires_at", "revoked_at", "last_used_at"]
    exclude = ["token_sha256"]


@admin.register(Grant)
class GrantAdmin(ReadOnlyAdmin):
    """People, their roles, and where they have them."""

    list_display = ["user", "role", "model_line", "group", "source"]
    list_select_related = ["user"]


@admin.register(Identity)
class IdentityAdmin(ReadOnlyAdmin):
    """Who people are to the identity provider."""

    list_display = ["user", "issuer", "subject"]
    list_select_related = ["user"]
