"""The first page."""

from django.http import HttpRequest, HttpResponse

from access.actors import Actor
from fleet.dashboards.people import page, render_page
from fleet.dashboards.queries.overview import overview as read_overview


@page
def overview(request: HttpRequest, actor: Actor) -> HttpResponse:
    """The fleet in one glance."""
    return render_page(request, actor, "dashboards/overview.html", {"section": "overview", "page": read_overview()})
