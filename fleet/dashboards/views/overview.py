"""The first page."""

from django.http import HttpRequest, HttpResponse

from access.actors import Actor
from fleet.dashboards.people import page, render_page
from fleet.dashboards.queries.overview import overview as read_overview
from fleet.dashboards.queries.trust import ending_files


@page
def overview(request: HttpRequest, actor: Actor) -> HttpResponse:
    """The fleet in one glance."""
    context = {"section": "overview", "page": read_overview(actor), "ending": ending_files(actor)}
    return render_page(request, actor, "dashboards/overview.html", context)
