"""Benchmarks by device class."""

from collections.abc import Iterable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404

from access.actors import Actor
from fleet.dashboards.charts.latency import LatencyPoint, latency_chart
from fleet.dashboards.people import page, render_page
from fleet.dashboards.queries.benchmarks_page import SeriesRow, benchmarks_page
from fleet.dashboards.queries.history import newest_reports
from fleet.measurements.models import BenchmarkReport
from registry.visibility import visible_lines


@page
def benchmarks(request: HttpRequest, actor: Actor) -> HttpResponse:
    """What the devices measured, by variant, device class and conditions. Invalid runs are shown, and are in no figure."""
    lines = list(visible_lines(actor))
    name = request.GET.get("model", "")
    line = get_object_or_404(visible_lines(actor), name=name) if name else next(iter(lines), None)
    shown = benchmarks_page(line, actor=actor, configuration=request.GET.get("configuration", "")) if line else None
    points = points_of(shown.rows) if shown else []
    context = {
        "section": "benchmarks",
        "lines": lines,
        "line": line,
        "page": shown,
        "figures": {"latency": latency_chart(points)} if points else None,
        "void": newest_reports(actor=actor, model_line=line, validity=BenchmarkReport.Validity.INVALID) if line else [],
    }
    return render_page(request, actor, "dashboards/benchmarks.html", context)


def points_of(rows: Iterable[SeriesRow]) -> list[LatencyPoint]:
    """The rows that have a latency."""
    return [
        LatencyPoint(
            label=row.figures.label,
            device_class=row.figures.series.device_class,
            median_ns=latency.median,
            q1_ns=latency.q1,
            q3_ns=latency.q3,
            devices=latency.devices,
        )
        for row in rows
        if (latency := row.figures.latency) is not None
    ]
