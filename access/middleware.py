"""What stands around every request."""

import logging
from collections.abc import Callable

from csp.middleware import CSPMiddleware
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from access.addresses import origin_of, work_from
from access.errors import InvalidInput, NotMigrated
from access.problems import problem_response

log = logging.getLogger(__name__)
_UNDEFINED_TABLE = "42P01"  # https://www.postgresql.org/docs/current/errcodes-appendix.html

# Headers that protect pages in browsers. A device reads none of them, and pays for every byte.
PAGE_HEADERS = (
    "X-Frame-Options",
    "X-Content-Type-Options",
    "Referrer-Policy",
    "Cross-Origin-Opener-Policy",
    "Strict-Transport-Security",
    "Vary",
    "Allow",
    "X-Request-ID",
)


def is_device(request: HttpRequest) -> bool:
    """Whether the request comes with a device's credential, good or not."""
    return str(request.META.get("HTTP_AUTHORIZATION", "")).startswith("Bearer sfd_")


class LeanDeviceApiMiddleware:
    """Takes the headers meant for pages from answers to devices (a `Bearer sfd_…` credential)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, without the page headers where a device asked."""
        response = self.get_response(request)
        if is_device(request):
            for name in PAGE_HEADERS:
                response.headers.pop(name, None)
            if response.status_code == 304:
                response.headers.pop("Content-Length", None)
                response.headers.pop("Content-Type", None)
        return response


class OriginMiddleware:
    """Lets audit records and log lines say from where and in which request, and tells the client the number of its request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, with the request's number."""
        origin = origin_of(request)
        with work_from(origin):
            response = self.get_response(request)
        response.headers["X-Request-ID"] = origin.request_id
        return response


# Of what a page could ask a browser for, ours ask nothing.
PERMISSIONS_POLICY = ", ".join(
    f"{feature}=()"
    for feature in (
        "accelerometer",
        "camera",
        "display-capture",
        "geolocation",
        "gyroscope",
        "hid",
        "magnetometer",
        "microphone",
        "midi",
        "payment",
        "publickey-credentials-get",
        "screen-wake-lock",
        "serial",
        "usb",
    )
)


class PageHeadersMiddleware:
    """Says to browsers what Django's and CSP's own middleware do not: no devices, no embedding by others, nothing private on a disk."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer; a view's own word on caching stands."""
        response = self.get_response(request)
        if is_device(request):
            return response
        response.headers.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        if response.headers.get("Content-Type", "").startswith("text/html"):
            response.headers.setdefault("Cache-Control", "no-store")
        return response


class PagePolicyMiddleware(CSPMiddleware):
    """The content security policy, without the work and the bytes for devices."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Add the policy."""
        return response if is_device(request) else super().process_response(request, response)


class BodilessHeadMiddleware:
    """Leaves of an answer to HEAD what HEAD is for, also of a problem and a page; servers complain about a body there."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer; to HEAD with the headers of the whole answer and nothing after them."""
        response = self.get_response(request)
        if request.method == "HEAD" and not response.streaming and response.content:
            response.headers.setdefault("Content-Length", str(len(response.content)))
            response.content = b""
        return response


class NulRefusedMiddleware:
    """Refuses an address or a cookie with a NUL character: PostgreSQL takes none in any text, so a lookup by it would end in a defect's answer."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer; the refusal is no exception, whose traceback would fill the log."""
        if "\0" in request.path_info or "%00" in request.META.get("QUERY_STRING", ""):
            return problem_response(request, InvalidInput("the address has a NUL character"))
        if any("\0" in value for value in request.COOKIES.values()):  # in quotes a cookie may write it as \000
            return problem_response(request, InvalidInput("a cookie has a NUL character"))
        return self.get_response(request)


class NotMigratedMiddleware:
    """Answers for a database without tables: the operator's next step, and no defect of the server."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer."""
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The problem, if a table is missing; None leaves every other defect to Django."""
        if not is_missing_table(exception):
            return None
        log.error("not_migrated", extra={"detail": str(exception)})
        return problem_response(request, NotMigrated("its operator runs `smallfleet manage migrate`"))


def is_missing_table(error: Exception) -> bool:
    """Whether the database refused because a table is not there: by PostgreSQL's code, or by SQLite's words, which has none."""
    if not isinstance(error, DatabaseError):
        return False
    code = getattr(error.__cause__, "sqlstate", None)
    return code == _UNDEFINED_TABLE if code is not None else str(error).startswith("no such table:")
