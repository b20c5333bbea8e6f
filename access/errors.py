"""The error tree of the server.

    ProblemError                 base: everything the API answers as application/problem+json
    ├── Unauthenticated          401  no valid credential
    ├── PermissionRefused        403  a valid credential that may not do this
    ├── NotFound                 404
    ├── InvalidInput             400  field errors
    ├── LengthRequired           411
    ├── BodyTooLarge             413
    ├── TooManyRequests          429  a rate limit; Retry-After says when to ask again
    ├── TokenScopeInvalid        400
    ├── GrantInvalid             400
    ├── LoginRefused             403  by the identity provider, or after it
    ├── ProviderUnavailable      502
    ├── PersonTaken              409
    ├── LastAdmin                409
    ├── NotMigrated              503  the database has no tables yet
    └── (registry.errors and fleet.errors continue the tree)

A class carries a stable `slug` (the last part of the problem's `type`), a `title` that never changes with the occurrence, and the HTTP `status`.
The message is the problem's `detail`: what was expected, what came, what to do.
"""

from collections.abc import Mapping, Sequence

TYPE_PREFIX = "urn:smallfleet:problem:"


class ProblemError(Exception):
    """A refusal that a client may branch on by `type`."""

    slug = "error"
    title = "The request could not be carried out"
    status = 500

    def __init__(
        self, detail: str = "", *, errors: Sequence[Mapping[str, str]] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})

    @property
    def type(self) -> str:
        """The problem's `type` URI."""
        return TYPE_PREFIX + self.slug


class Unauthenticated(ProblemError):
    """No credential, or one that is wrong, expired or revoked: which of them is not said."""

    slug = "unauthenticated"
    title = "No valid credential"
    status = 401


class PermissionRefused(ProblemError):
    """The credential is valid and may not do this."""

    slug = "permission-refused"
    title = "This credential may not do that"
    status = 403


class NotFound(ProblemError):
    """There is no such thing."""

    slug = "not-found"
    title = "There is no such thing here"
    status = 404


class InvalidInput(ProblemError):
    """The body or a parameter does not have the right shape; `errors` names the fields."""

    slug = "invalid-input"
    title = "The request does not have the right shape"
    status = 400


class LengthRequired(ProblemError):
    """An upload without a Content-Length cannot be checked against its cap before it is read."""

    slug = "length-required"
    title = "Content-Length is required"
    status = 411


class BodyTooLarge(ProblemError):
    """A JSON body over the cap; artifacts are streamed and have caps of their own."""

    slug = "body-too-large"
    title = "The body is too large"
    status = 413


class TooManyRequests(ProblemError):
    """Somebody asks more often than the server's settings allow."""

    slug = "too-many-requests"
    title = "Too many requests"
    status = 429


class TokenScopeInvalid(ProblemError):
    """A token cannot be given more than its owner may do."""

    slug = "token-scope-invalid"
    title = "The token's scopes are not valid"
    status = 400


class LoginRefused(ProblemError):
    """The identity provider, or this server after it, does not let somebody in."""

    slug = "login-refused"
    title = "You are not logged in"
    status = 403


class ProviderUnavailable(ProblemError):
    """The identity provider does not answer, or not as the one that is configured."""

    slug = "provider-unavailable"
    title = "The identity provider does not answer"
    status = 502


class GrantInvalid(ProblemError):
    """A grant that cannot be read, or a role that cannot be restricted like that."""

    slug = "grant-invalid"
    title = "The grant is not valid"
    status = 400


class PersonTaken(ProblemError):
    """There is a person of this name already."""

    slug = "person-taken"
    title = "The name is taken"
    status = 409


class LastAdmin(ProblemError):
    """Without an active admin nobody could make another."""

    slug = "last-admin"
    title = "The last admin stays"
    status = 409


class NotMigrated(ProblemError):
    """The server runs before its database was prepared."""

    slug = "not-migrated"
    title = "The database has no tables yet"
    status = 503
