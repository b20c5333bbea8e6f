"""Benchmarks by device class."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404

from access.actors import Actor
from fleet.dashboards.charts.latency import LatencyPoint, latency_chart
from fleet.dashboards.people import page, render_page
from fleet.dashboards.queries.history import newest_reports
from fleet.dashboards.queries.measurements import ClassBenchmark, Validity, benchmarks_by_class
from registry.models import ModelLine


@page
def benchmarks(request: HttpRequest, actor: Actor) -> HttpResponse:
    """What the devices measured, by variant and device class; invalid runs count only when asked for."""
    lines = list(ModelLine.objects.all())
    name = request.GET.get("model", "")
    line = get_object_or_404(ModelLine, name=name) if name else next(iter(lines), None)
    with_invalid = request.GET.get("invalid") == "yes"
    rows = benchmarks_by_class(line, with_invalid=with_invalid) if line else []
    points = points_of(rows)
    context = {
        "section": "benchmarks",
        "lines": lines,
        "line": line,
        "with_invalid": with_invalid,
        "rows": rows,
        "figures": {"latency": latency_chart(points)} if points else None,
        "void": newest_reports(model_line=line, validity=Validity.INVALID) if line else [],
    }
    return render_page(request, actor, "dashboards/benchmarks.html", context)


def points_of(rows: list[ClassBenchmark]) -> list[LatencyPoint]:
    """The rows that have a latency."""
    return [
        LatencyPoint(
            label=str(row.name) if row.name else row.sha256[:12],
            device_class=row.device_class,
            median_ns=row.latency.median_ns,
            lowest_ns=row.latency.lowest_ns,
            highest_ns=row.latency.highest_ns,
            devices=row.latency.devices,
        )
        for row in rows
        if row.latency is not None
    ]
