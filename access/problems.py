"""One error format: RFC 9457 `application/problem+json`, for every error on every path.

DRF's handler sees what its views raise. What it does not see (an unknown URL, a bad Host, an unhandled exception, CSRF) goes through the `handler*`
functions, which the project names in its URL configuration. People with a browser get the same words as a page.
"""

import logging
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from rest_framework import exceptions as drf
from rest_framework.response import Response
from rest_framework.views import set_rollback

from access.errors import TYPE_PREFIX, InvalidInput, NotFound, PermissionRefused, ProblemError, Unauthenticated

CONTENT_TYPE = "application/problem+json"
log = logging.getLogger(__name__)

# DRF's own errors that have no class of ours, by the stable slug their type gets.
_DRF_SLUGS: dict[type[drf.APIException], tuple[str, str]] = {
    drf.MethodNotAllowed: ("method-not-allowed", "The method is not allowed here"),
    drf.NotAcceptable: ("not-acceptable", "No answer of the wanted media type"),
    drf.UnsupportedMediaType: ("unsupported-media-type", "The body's media type is not read here"),
}


def problem_of(error: Exception) -> ProblemError | None:
    """The problem that an exception is answered with; None if it is a defect of ours."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, drf.ValidationError):
        return InvalidInput("see `errors`", errors=list(_field_errors(error.detail)))
    if isinstance(error, drf.ParseError):
        return InvalidInput(str(error.detail))
    if isinstance(error, Http404 | drf.NotFound):
        return NotFound(str(error))
    if isinstance(error, drf.NotAuthenticated | drf.AuthenticationFailed):
        return Unauthenticated("send an Authorization header with a valid token")
    if isinstance(error, PermissionDenied | drf.PermissionDenied):
        return PermissionRefused(str(error))
    if isinstance(error, drf.APIException):
        return _drf_problem(error)
    return None


def _drf_problem(error: drf.APIException) -> ProblemError:
    slug, title = _DRF_SLUGS.get(type(error), ("request-refused", "The request was refused"))
    problem = ProblemError(str(error.detail))
    problem.slug, problem.title, problem.status = slug, title, error.status_code
    return problem


def _field_errors(detail: Any, path: str = "") -> Iterator[dict[str, str]]:
    """Flatten DRF's nested error detail to dotted field names."""
    if isinstance(detail, Mapping):
        for key, inner in detail.items():
            yield from _field_errors(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(detail, list) and any(isinstance(item, Mapping | list) for item in detail):
        for index, inner in enumerate(detail):
            yield from _field_errors(inner, f"{path}.{index}" if path else str(index))
    elif isinstance(detail, list):
        for message in detail:
            yield {"field": path, "message": str(message)}
    else:
        yield {"field": path, "message": str(detail)}


def body_of(problem: ProblemError, instance: str) -> dict[str, Any]:
    """The problem's JSON object."""
    body: dict[str, Any] = {
        "type": problem.type,
        "title": problem.title,
        "status": problem.status,
        "instance": instance,
    }
    if problem.detail:
        body["detail"] = problem.detail
    if problem.errors:
        body["errors"] = [dict(error) for error in problem.errors]
    return body


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """DRF's hook. None lets Django log the defect and call `server_error`."""
    problem = problem_of(error)
    if problem is None:
        return None
    set_rollback()
    request = context["request"]
    headers = dict(problem.headers)
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="smallfleet"'
    if isinstance(error, drf.MethodNotAllowed):
        headers["Allow"] = ", ".join(context["view"].allowed_methods)
    return Response(body_of(problem, request.path), status=problem.status, headers=headers, content_type=CONTENT_TYPE)


def problem_response(request: HttpRequest, problem: ProblemError) -> HttpResponse:
    """The problem as JSON, or as a page for a browser outside the API."""
    if not request.path.startswith("/api/") and "text/html" in request.META.get("HTTP_ACCEPT", ""):
        page = render_to_string(
            "dashboards/error.html", {"status": problem.status, "title": problem.title, "detail": problem.detail}
        )
        return HttpResponse(page, status=problem.status)
    return JsonResponse(
        body_of(problem, request.path), status=problem.status, content_type=CONTENT_TYPE, headers=problem.headers
    )


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Django's handler400: a suspicious request, such as a Host that is not ours or an address with a NUL character."""
    # The path is not taken from a request whose Host was refused: building a URL from it would raise again.
    return problem_response(request, InvalidInput("the request is malformed, or names a host that is not served here"))


def permission_denied(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Django's handler403."""
    return problem_response(request, PermissionRefused(str(exception or "")))


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's CSRF_FAILURE_VIEW."""
    return problem_response(request, PermissionRefused("the form has expired; reload the page and try again"))


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Django's handler404."""
    return problem_response(request, NotFound("no page or route has this address"))


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500. What went wrong is in the log, never in the answer."""
    problem = ProblemError("this is a defect of the server; its log has the details")
    problem.slug, problem.title = "server-error", "The server failed"
    return problem_response(request, problem)


__all__ = ["CONTENT_TYPE", "TYPE_PREFIX", "body_of", "exception_handler", "problem_of", "problem_response"]
