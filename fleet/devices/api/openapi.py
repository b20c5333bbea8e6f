"""Tells the OpenAPI generator how devices authenticate. Imported when the app is ready."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension


class DeviceAuthenticationScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """A device's credential."""

    target_class = "fleet.devices.authentication.DeviceAuthentication"
    name = "device"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """The scheme as it stands in the document."""
        return {"type": "http", "scheme": "bearer", "description": "a device's credential, `sfd_…`"}
