"""Tells the OpenAPI generator who may authenticate how, and what every route may answer. Imported when the app is ready."""

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


def add_common_problems(result: dict[str, Any], **_generation: Any) -> dict[str, Any]:
    """Add to every route the problems that stand before its view: drf-spectacular's hook.

    Any address may be malformed, its credential be none or not enough, a name in it belong to nothing; a body may be too large or of another media
    type.
    """
    for path, methods in result["paths"].items():
        for operation in methods.values():
            names_something = "{" in path or operation.get("parameters")
            statuses = [
                400,
                401,
                403,
                *([404] if names_something else []),
                *([413, 415] if "requestBody" in operation else []),
            ]
            for status in statuses:
                operation["responses"].setdefault(str(status), _PROBLEM)
            operation["responses"] = dict(sorted(operation["responses"].items()))
    return result


_PROBLEM = {
    "description": "",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
