"""What stands around every request."""

from collections.abc import Callable

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse

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


class NulRefusedMiddleware:
    """Refuses an address with a NUL character: PostgreSQL takes none in any text, so every lookup by it would end in a defect's answer."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, or raise what Django's handler of bad requests turns into a problem."""
        if "\0" in request.path_info or "%00" in request.META.get("QUERY_STRING", ""):
            raise BadRequest("the address has a NUL character")
        return self.get_response(request)
