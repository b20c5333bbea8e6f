"""Tells the OpenAPI generator who may authenticate how. Imported when the app is ready."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension


class PersonTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """A person's API token."""

    target_class = "access.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """The scheme as it stands in the document."""
        return {"type": "http", "scheme": "bearer", "description": "a person's token, `sft_…`"}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The dashboard's session."""

    target_class = "access.authentication.ApiSessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """The scheme as it stands in the document."""
        return {"type": "apiKey", "in": "cookie", "name": "sessionid", "description": "with `X-CSRFToken` to write"}


class DeviceScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """A device's credential."""

    target_class = "fleet.devices.authentication.DeviceAuthentication"
    name = "device"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """The scheme as it stands in the document."""
        return {"type": "http", "scheme": "bearer", "description": "a device's credential, `sfd_…`"}
