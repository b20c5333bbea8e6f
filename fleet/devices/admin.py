"""The devices in Django's admin, read-only."""

from django.contrib import admin

from access.admin import ReadOnlyAdmin
from fleet.devices.models import Device, EnrollmentSerial, EnrollmentToken, Group, Installation, LinkClass


@admin.register(Device)
class DeviceAdmin(ReadOnlyAdmin):
    """Devices, without their credentials' hashes."""

    list_display = ["name", "device_class", "link_class", "agent_version", "last_seen_at", "revoked_at"]
    exclude = ["credential_sha256", "next_credential_sha256"]
    list_select_related = ["link_class"]


@admin.register(Installation)
class InstallationAdmin(ReadOnlyAdmin):
    """What devices hold and where they should go."""

    list_display = ["device", "model_line", "target", "current_sha256", "active"]
    list_select_related = ["device", "model_line", "target"]


@admin.register(Group)
class GroupAdmin(ReadOnlyAdmin):
    """Saved queries."""

    list_display = ["name", "query", "created_at"]


@admin.register(LinkClass)
class LinkClassAdmin(ReadOnlyAdmin):
    """What bytes cost."""

    list_display = ["name", "price_per_mb", "metered"]


@admin.register(EnrollmentToken)
class EnrollmentTokenAdmin(ReadOnlyAdmin):
    """Tokens without their hashes."""

    list_display = ["name", "uses", "used", "expires_at", "revoked_at"]
    exclude = ["token_sha256"]


@admin.register(EnrollmentSerial)
class EnrollmentSerialAdmin(ReadOnlyAdmin):
    """Serials that may enroll, and who did."""

    list_display = ["serial", "token", "used_at", "device"]
    list_select_related = ["token", "device"]
