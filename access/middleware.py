"""What stands around every request."""

from collections.abc import Callable

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
