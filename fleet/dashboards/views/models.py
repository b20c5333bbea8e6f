"""Model lines, and one of them with its chart of accuracy against cost."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404

from access.actors import Actor
from access.grants import SOME
from access.models import Scope
from fleet.dashboards.charts.accuracy_cost import accuracy_cost_chart
from fleet.dashboards.people import page, render_page
from fleet.dashboards.queries.field import lines_in_field
from fleet.dashboards.queries.model_page import model_page, points_of
from fleet.dashboards.queries.trust import trust_section
from registry.models import ModelLine
from registry.visibility import visible_lines


@page
def model_lines(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Every model line and what the fleet runs of it."""
    lines = lines_in_field(visible_lines(actor), actor=actor)
    return render_page(request, actor, "dashboards/model_lines.html", {"section": "models", "lines": lines})


@page
def model_line(request: HttpRequest, actor: Actor, name: str) -> HttpResponse:
    """One model line: which variant is accurate enough and cheapest to get to the devices from where they are."""
    line = get_object_or_404(visible_lines(actor), name=name)
    shown = model_page(line, actor=actor, quality_key=request.GET.get("quality", ""))
    points = points_of(shown)
    figures = None
    # Without a device every update is free, and a chart of that says nothing.
    if points and shown.quality is not None and shown.field.devices:
        figures = accuracy_cost_chart(points, metric=shown.quality.metric, currency=settings.SMALLFLEET_CURRENCY)
    context = {"section": "models", "line": line, "page": shown, "figures": figures, "trust": trust_section(line)}
    return render_page(request, actor, "dashboards/model_line.html", {**context, **_pressable(actor, line)})


def _pressable(actor: Actor, line: ModelLine) -> dict[str, bool]:
    """Which links lead somewhere: the plan of patches counts every device of the line."""
    return {
        "may_see_plan": actor.allows(Scope.READ, model=line.name),
        "may_operate": actor.allows(Scope.OPERATE, model=line.name, group=SOME),
    }
