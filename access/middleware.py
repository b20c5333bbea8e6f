"""What stands around every request."""

import logging
from collections.abc import Callable

from django.core.exceptions import BadRequest
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse

from access.errors import NotMigrated
from access.problems import problem_response

log = logging.getLogger(__name__)
_UNDEFINED_TABLE = "42P01"  # https://www.postgresql.org/docs/current/errcodes-appendix.html

# Headers that protect pages in browsers. A device reads none of them, and pays for every byte.
PAGE_HEADERS = (
    "X-Frame-Options",
    "X-Content-Type-Options",
    "Referrer-Policy",
    "Cross-Origin-Opener-Policy",
    "Vary",
    "Allow",
)


class LeanDeviceApiMiddleware:
    """Takes the headers meant for pages from answers to devices (a `Bearer sfd_…` credential)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, without the page headers where a device asked."""
        response = self.get_response(request)
        if request.META.get("HTTP_AUTHORIZATION", "").startswith("Bearer sfd_"):
            for name in PAGE_HEADERS:
                response.headers.pop(name, None)
            if response.status_code == 304:
                response.headers.pop("Content-Length", None)
                response.headers.pop("Content-Type", None)
        return response


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
    """Refuses an address with a NUL character: PostgreSQL takes none in any text, so every lookup by it would end in a defect's answer."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, or raise what Django's handler of bad requests turns into a problem."""
        if "\0" in request.path_info or "%00" in request.META.get("QUERY_STRING", ""):
            raise BadRequest("the address has a NUL character")
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
