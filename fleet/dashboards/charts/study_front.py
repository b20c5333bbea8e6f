"""A study's points: accuracy against one cost, the front drawn, and what is outside the budgets in grey."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fleet.dashboards import formats
from fleet.dashboards.charts.accuracy_cost import pareto_front
from fleet.dashboards.charts.axes import linear_axis, log_axis
from fleet.dashboards.charts.labels import Mark, place_labels
from fleet.dashboards.charts.metrics import text_of, title_of, unit_text_of
from fleet.dashboards.charts.style import Figure, as_text, layout

Place = Callable[[float], float]
MOST_POINTS = 2500  # what a phone still draws at once, and about 1 MB of page
_LOG_FROM = 30  # a wider spread of costs would press most points against the upright axis
_MOST_INTERVALS = 60  # more bars than this are a hedge, and so are more numbers
_FRONT_PX, _POINT_PX = 10.0, 6.0


@dataclass(frozen=True, slots=True)
class StudyPoint:
    """A complete point.

    Attributes:
        accuracy: 0 to 1, with `low` and `high` its 95 % interval where there is one.
        costs: by metric; None where it was not measured.
        on_front: by all objectives of the study, which may be more than the two of the chart.
    """

    number: int
    accuracy: float
    low: float | None
    high: float | None
    costs: dict[str, float | None]
    on_front: bool
    within_budgets: bool


def drawn_points(points: Sequence[StudyPoint]) -> list[StudyPoint]:
    """At most `MOST_POINTS`: the front, then what is within the budgets, then the rest; in the order of their numbers."""
    chosen = sorted(points, key=lambda point: (not point.on_front, not point.within_budgets, point.number))
    return sorted(chosen[:MOST_POINTS], key=lambda point: point.number)


def study_front_charts(points: Sequence[StudyPoint], costs: Sequence[str]) -> dict[str, Figure]:
    """A figure per cost, by its name."""
    drawn = drawn_points(points)
    return {cost: _figure([point for point in drawn if point.costs.get(cost) is not None], cost) for cost in costs}


def _figure(points: Sequence[StudyPoint], cost: str) -> Figure:
    values = [_cost(point, cost) for point in points]
    positive = [value for value in values if value > 0]
    wide = bool(positive) and max(positive) >= _LOG_FROM * min(positive)
    axis = (log_axis if wide else linear_axis)(title_of(cost), values, unit_text_of(cost))
    kinds = {
        "outside the budgets": [point for point in points if not point.within_budgets],
        "within the budgets": [point for point in points if point.within_budgets and not point.on_front],
        "on the front": [point for point in points if point.within_budgets and point.on_front],
    }
    traces = [_front([point for point in points if point.within_budgets], cost, axis.place)]
    for name, own in kinds.items():
        if own:
            labels = _labels(own, cost, axis.share) if name == "on the front" else None
            traces.append(_trace(name, own, cost, labels) | {"x": [axis.place(_cost(point, cost)) for point in own]})
    yaxis = {"title": {"text": "accuracy", "standoff": 14}, "tickformat": ".1%"}
    return {"data": traces, "layout": layout(axis.spec, yaxis)}


def _cost(point: StudyPoint, cost: str) -> float:
    return point.costs[cost] or 0.0


def _front(points: Sequence[StudyPoint], cost: str, place: Place) -> Figure:
    """The steps that no point within the budgets is above and left of."""
    front = pareto_front(
        [_cost(point, cost) for point in points], [point.accuracy for point in points], higher_is_better=True
    )
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "front of accuracy and this cost",
        "x": [place(_cost(points[number], cost)) for number in front],
        "y": [points[number].accuracy for number in front],
        "line": {"color": "var(--ink-soft)", "dash": "dot", "width": 1.5, "shape": "hv"},
        "hoverinfo": "skip",
    }


def _trace(name: str, points: Sequence[StudyPoint], cost: str, labels: Sequence[str | None] | None) -> Figure:
    on_front = labels is not None
    colour = "var(--waiting)" if name == "outside the budgets" else "var(--chart-2)" if on_front else "var(--chart-1)"
    trace: Figure = {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "y": [point.accuracy for point in points],
        "hovertext": [_hover(point, cost) for point in points],
        "hoverinfo": "text",
        "marker": {
            "color": colour,
            "size": _FRONT_PX if on_front else _POINT_PX,
            "opacity": 1.0 if on_front else 0.55,
        },
        "cliponaxis": False,
    }
    if len(points) <= _MOST_INTERVALS:
        trace["error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": [0.0 if point.high is None else round(point.high - point.accuracy, 6) for point in points],
            "arrayminus": [0.0 if point.low is None else round(point.accuracy - point.low, 6) for point in points],
            "color": colour,
            "thickness": 1.0,
            "width": 3,
        }
    if labels is not None:
        trace["mode"] = "markers+text"
        trace["text"] = [str(point.number) if at else "" for point, at in zip(points, labels, strict=True)]
        trace["textposition"] = [at or "top right" for at in labels]
        trace["textfont"] = {"size": 11, "color": "var(--ink)"}
    return trace


def _labels(points: Sequence[StudyPoint], cost: str, share: Place) -> list[str | None]:
    if len(points) > _MOST_INTERVALS:
        return [None] * len(points)
    low = min(point.accuracy for point in points)
    height = (max(point.accuracy for point in points) - low) or 1.0
    return place_labels(
        [
            Mark(share(_cost(point, cost)), (point.accuracy - low) / height, _FRONT_PX, str(point.number))
            for point in points
        ]
    )


def _hover(point: StudyPoint, cost: str) -> str:
    interval = ""
    if point.low is not None and point.high is not None:
        interval = f" ({formats.percent_text(point.low)} to {formats.percent_text(point.high)})"
    outside = "" if point.within_budgets else ", outside the budgets"
    return f"point {point.number}{outside}<br>{formats.percent_text(point.accuracy)}{interval}<br>" + as_text(
        f"{title_of(cost)} {text_of(cost, point.costs[cost])}"
    )
