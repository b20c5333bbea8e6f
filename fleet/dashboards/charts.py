"""Charts as plain data: values in, a Plotly figure (a JSON-able dict) out. No query, no request, no drawing.

Colours are names of CSS variables (`var(--…)`), which `charts.js` resolves, so that one figure fits the light and the dark page. Every chart stands beside a
table with the same numbers; nothing is only in a picture.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from fleet.dashboards import formats

Figure = dict[str, Any]

_COLOURS = 6
_SMALLEST_MARKER, _LARGEST_MARKER, _UNMEASURED_MARKER = 12.0, 34.0, 14.0


@dataclass(frozen=True, slots=True)
class VariantPoint:
    """One variant on the chart of accuracy against cost.

    Attributes:
        label: version and variant.
        version: what is coloured alike.
        value: the metric, with `low` and `high` its 95 % interval where there is one.
        cost_bytes: to bring today's fleet there.
        cost_money: the same in money.
        ways: in words, how the devices would get it.
        p50_latency_ns: of the median device; None where nobody measured it.
        is_current: most of the fleet runs it.
        is_upper_bound: a cheaper way may still be built.
    """

    label: str
    version: str
    value: float
    low: float | None
    high: float | None
    cost_bytes: int
    cost_money: Decimal
    ways: str
    p50_latency_ns: int | None
    is_current: bool
    is_upper_bound: bool


@dataclass(frozen=True, slots=True)
class LatencyPoint:
    """p50 latency of one variant on one device class: the median of the devices, and their range."""

    label: str
    device_class: str
    median_ns: float
    lowest_ns: float
    highest_ns: float
    devices: int


def pareto_front(costs: Sequence[float], values: Sequence[float], *, higher_is_better: bool) -> list[int]:
    """The places of the points that no other point beats on both cost and value, cheapest first."""
    sign = 1.0 if higher_is_better else -1.0
    front: list[int] = []
    best = -math.inf
    for place in sorted(range(len(costs)), key=lambda place: (costs[place], -sign * values[place])):
        if sign * values[place] > best:
            best = sign * values[place]
            front.append(place)
    return front


def accuracy_cost_chart(points: Sequence[VariantPoint], *, metric: str, currency: str) -> dict[str, Figure]:
    """The figures that the page switches between, by `<measure>-<scale>`: bytes or money, linear or log."""

    def money(value: float) -> str:
        return formats.money_text(value, currency)

    by_bytes = [float(point.cost_bytes) for point in points]
    by_money = [float(point.cost_money) for point in points]
    return {
        "bytes-linear": _accuracy_cost(
            points, by_bytes, metric, _linear_axis("bytes on the wire", by_bytes, formats.bytes_text)
        ),
        "bytes-log": _accuracy_cost(points, *_log(by_bytes, metric, "bytes on the wire", formats.bytes_text)),
        "money-linear": _accuracy_cost(points, by_money, metric, _linear_axis(currency, by_money, money)),
        "money-log": _accuracy_cost(points, *_log(by_money, metric, currency, money)),
    }


def _log(costs: list[float], metric: str, title: str, text: Callable[[float], str]) -> tuple[list[float], str, Figure]:
    """Costs as they stand on a log axis. What costs nothing stands left of the axis' first decade, over a tick that says 0."""
    positive = [cost for cost in costs if cost > 0]
    first = math.floor(math.log10(min(positive))) if positive else 0
    last = math.ceil(math.log10(max(positive))) if positive else 1
    decades = list(range(first, max(last, first + 1) + 1))
    zero = 10.0 ** (first - 0.5)
    ticks = [10.0**decade for decade in decades]
    words = [text(tick) for tick in ticks]
    if len(positive) < len(costs):
        ticks, words = [zero, *ticks], ["0", *words]
    axis = {
        "type": "log",
        "title": {"text": f"{title}, to bring today's fleet there"},
        "tickvals": ticks,
        "ticktext": words,
        "range": [math.log10(ticks[0]) - 0.25, decades[-1] + 0.15],
    }
    return [cost or zero for cost in costs], metric, axis


def _linear_axis(title: str, costs: list[float], text: Callable[[float], str]) -> Figure:
    """A linear axis from 0 whose ticks read as the rest of the page does."""
    highest = max(costs, default=0.0) or 1.0
    step = _round_step(highest / 4)
    ticks = [step * place for place in range(math.ceil(highest / step) + 1)]
    return {
        "type": "linear",
        "title": {"text": f"{title}, to bring today's fleet there"},
        "tickvals": ticks,
        "ticktext": ["0" if tick == 0 else text(tick) for tick in ticks],
        "range": [-0.06 * highest, 1.12 * highest],
        "zeroline": False,
    }


def _round_step(least: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least)


def _accuracy_cost(points: Sequence[VariantPoint], costs: list[float], metric: str, axis: Figure) -> Figure:
    sizes = _marker_sizes(points)
    versions = list(dict.fromkeys(point.version for point in points))
    traces = [_front_trace(points, costs, metric)]
    for number, version in enumerate(versions):
        places = [place for place, point in enumerate(points) if point.version == version]
        traces.append(
            _version_trace(
                version, number, [points[p] for p in places], [costs[p] for p in places], [sizes[p] for p in places]
            )
        )
    if any(point.p50_latency_ns is None for point in points):
        traces.append(_unmeasured_legend())
    layout = _layout(axis, {"title": {"text": metric}, "tickformat": ".1%" if formats.is_share(metric) else ".4~g"})
    layout["annotations"] = [
        _here(cost, point, axis) for cost, point in zip(costs, points, strict=True) if point.is_current
    ]
    return {"data": traces, "layout": layout}


def _marker_sizes(points: Sequence[VariantPoint]) -> list[float]:
    """Diameters whose areas follow p50 latency; unmeasured ones have a size of their own."""
    slowest = max((point.p50_latency_ns or 0 for point in points), default=0)
    return [
        _UNMEASURED_MARKER
        if point.p50_latency_ns is None
        else max(_SMALLEST_MARKER, _LARGEST_MARKER * math.sqrt(point.p50_latency_ns / slowest))
        if slowest
        else _SMALLEST_MARKER
        for point in points
    ]


def _front_trace(points: Sequence[VariantPoint], costs: list[float], metric: str) -> Figure:
    values = [point.value for point in points]
    front = pareto_front(costs, values, higher_is_better=formats.higher_is_better(metric))
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "Pareto front",
        "x": [costs[place] for place in front],
        "y": [values[place] for place in front],
        "line": {"color": "var(--ink-soft)", "dash": "dot", "width": 1.5, "shape": "hv"},
        "hoverinfo": "skip",
    }


def _version_trace(
    version: str, number: int, points: Sequence[VariantPoint], costs: list[float], sizes: list[float]
) -> Figure:
    colour = f"var(--chart-{number % _COLOURS + 1})"
    return {
        "type": "scatter",
        "mode": "markers+text",
        "name": version,
        "x": costs,
        "y": [point.value for point in points],
        "text": [point.label for point in points],
        "textposition": "top center",
        "textfont": {"size": 11, "color": "var(--ink-soft)"},
        "hovertext": [_hover(point) for point in points],
        "hoverinfo": "text",
        "error_y": _error_bars(points, colour),
        "marker": {
            "size": sizes,
            "symbol": ["circle-open" if point.p50_latency_ns is None else "circle" for point in points],
            "color": colour,
            "opacity": 0.9,
            "line": {
                "color": [_edge(point, colour) for point in points],
                "width": [_edge_width(point) for point in points],
            },
        },
        "cliponaxis": False,
    }


def _edge(point: VariantPoint, colour: str) -> str:
    if point.is_current:
        return "var(--ink)"
    return colour if point.p50_latency_ns is None else "var(--paper)"


def _edge_width(point: VariantPoint) -> float:
    return 3.0 if point.is_current else 2.0 if point.p50_latency_ns is None else 1.0


def _error_bars(points: Sequence[VariantPoint], colour: str) -> Figure:
    """The 95 % intervals; a variant without one has a bar of no length."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [0.0 if point.high is None else point.high - point.value for point in points],
        "arrayminus": [0.0 if point.low is None else point.value - point.low for point in points],
        "color": colour,
        "thickness": 1.2,
        "width": 4,
    }


def _hover(point: VariantPoint) -> str:
    latency = "no measurement" if point.p50_latency_ns is None else f"p50 {formats.ms_text(point.p50_latency_ns)}"
    bound = " at most" if point.is_upper_bound else ""
    lines = [
        f"<b>{point.label}</b>{' (most of the fleet)' if point.is_current else ''}",
        f"{bound} {formats.bytes_text(point.cost_bytes)}, {point.cost_money:.4g} in money".strip(),
        point.ways,
        latency,
    ]
    return "<br>".join(line for line in lines if line)


def _here(cost: float, point: VariantPoint, axis: Figure) -> Figure:
    """The words beside the variant that most of the fleet runs."""
    return {
        "x": math.log10(cost) if axis["type"] == "log" else cost,
        "y": point.low if point.low is not None else point.value,
        "text": "most of the fleet is here",
        "showarrow": True,
        "arrowhead": 0,
        "arrowcolor": "var(--ink)",
        "ax": 0,
        "ay": 26,
        "xanchor": "left",
        "font": {"size": 11, "color": "var(--ink)"},
    }


def _unmeasured_legend() -> Figure:
    """A line of the legend without a point of its own."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "hollow: no measurement",
        "x": [None],
        "y": [None],
        "marker": {"symbol": "circle-open", "size": 10, "color": "var(--ink-soft)", "line": {"width": 2}},
        "hoverinfo": "skip",
    }


def latency_chart(points: Sequence[LatencyPoint]) -> Figure:
    """p50 latency by variant, one mark per device class, with the range over the devices as its bar."""
    classes = sorted({point.device_class for point in points})
    labels = list(dict.fromkeys(point.label for point in points))
    traces = [
        _class_trace(name, number, [point for point in points if point.device_class == name])
        for number, name in enumerate(classes)
    ]
    axis = {"title": {"text": "p50 latency, ms"}, "rangemode": "tozero"}
    layout = _layout(axis, {"type": "category", "categoryarray": labels[::-1], "automargin": True})
    # One row of marks per device class: a variant's rows must not lie upon each other.
    layout["scattermode"] = "group"
    layout["height"] = 140 + 26 * max(1, len(labels)) * max(1, len(classes))
    return {"data": traces, "layout": layout}


def _class_trace(name: str, number: int, points: Sequence[LatencyPoint]) -> Figure:
    colour = f"var(--chart-{number % _COLOURS + 1})"
    return {
        "type": "scatter",
        "mode": "markers",
        "orientation": "h",
        "name": name or "no class",
        "x": [point.median_ns / 1e6 for point in points],
        "y": [point.label for point in points],
        "hovertext": [
            f"<b>{point.label}</b> on {name or 'no class'}<br>median device {formats.ms_text(point.median_ns)}, "
            f"{formats.ms_text(point.lowest_ns)} to {formats.ms_text(point.highest_ns)}<br>{point.devices} devices"
            for point in points
        ],
        "hoverinfo": "text",
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [(point.highest_ns - point.median_ns) / 1e6 for point in points],
            "arrayminus": [(point.median_ns - point.lowest_ns) / 1e6 for point in points],
            "color": colour,
            "thickness": 1.5,
            "width": 4,
        },
        "marker": {"color": colour, "size": 11},
    }


def _layout(xaxis: Figure, yaxis: Figure) -> Figure:
    """What all charts share: no frame, soft grid, legend below, the page's own type."""
    axis = {"gridcolor": "var(--line)", "linecolor": "var(--line)", "zerolinecolor": "var(--line)", "fixedrange": True}
    return {
        "xaxis": axis | {"automargin": True} | xaxis,
        "yaxis": axis | {"automargin": True} | yaxis,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "var(--sans)", "size": 12, "color": "var(--ink)"},
        "margin": {"l": 8, "r": 12, "t": 24, "b": 8},
        "legend": {"orientation": "h", "y": -0.28, "x": 0, "xanchor": "left"},
        "hoverlabel": {
            "bgcolor": "var(--paper)",
            "bordercolor": "var(--line)",
            "font": {"color": "var(--ink)"},
            "align": "left",
        },
        "hovermode": "closest",
        "dragmode": False,
    }
