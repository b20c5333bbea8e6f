"""What was explored around a model line: its studies, and one of them with its points."""

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404

from access.actors import Actor
from fleet.dashboards.charts.metrics import title_of
from fleet.dashboards.charts.study_front import MOST_POINTS, study_front_charts
from fleet.dashboards.people import page, render_page
from fleet.dashboards.queries.studies import (
    COLUMNS,
    SHOWN,
    Order,
    chart_points,
    chosen_points,
    facts_of,
    measured_costs,
    point_rows,
)
from registry.models import Study
from registry.studies.queries import studies_of, variants_of_digests
from registry.visibility import visible_lines

STUDIES_PER_PAGE = 50
POINTS_PER_PAGE = 50


@page
def studies(request: HttpRequest, actor: Actor, model: str) -> HttpResponse:
    """The studies of a model line."""
    line = get_object_or_404(visible_lines(actor), name=model)
    shown = Paginator(studies_of(line), STUDIES_PER_PAGE).get_page(request.GET.get("page"))
    return render_page(request, actor, "dashboards/studies.html", {"section": "models", "line": line, "studies": shown})


@page
def study(request: HttpRequest, actor: Actor, model: str, name: str) -> HttpResponse:
    """One study: accuracy against a cost, where more stops paying, and its points."""
    line = get_object_or_404(visible_lines(actor), name=model)
    found = get_object_or_404(Study.objects.filter(model_line=line), name=name)
    order = Order.read(request.GET.get("sort", ""))
    shown = request.GET.get("show", "")
    points = chosen_points(found.document, shown, order)
    some = Paginator(points, POINTS_PER_PAGE).get_page(request.GET.get("page"))
    published = variants_of_digests(line, {point["sha256"] for point in found.document["points"] if point["sha256"]})
    drawable = chart_points(found)
    costs = measured_costs(found.document, drawable)
    context = {
        "section": "models",
        "line": line,
        "study": found,
        "facts": facts_of(found.document),
        "figures": study_front_charts(drawable, costs) if costs else None,
        "costs": [(cost, title_of(cost)) for cost in costs],
        "left_out": max(0, len(drawable) - MOST_POINTS),
        "number": order.column("number"),
        "columns": [order.column(metric) for metric in COLUMNS],
        "points": some,
        "rows": point_rows(list(some), published),
        "shown": shown if shown in SHOWN else "all",
        "choices": SHOWN.items(),
        "published": [variant for variants in published.values() for variant in variants],
    }
    return render_page(request, actor, "dashboards/study.html", context)
