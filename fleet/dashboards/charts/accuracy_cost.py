"""Accuracy against what it costs to bring today's fleet there: the chart by which a variant is chosen.

After Iandola and Keutzer, "Small Neural Nets Are Beautiful" (ESWEEK 2017): several metrics at once, and the bytes of an update as one of them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from fleet.dashboards import formats
from fleet.dashboards.charts.axes import CostAxis, linear_axis, log_axis
from fleet.dashboards.charts.labels import Mark, place_labels
from fleet.dashboards.charts.style import Figure, as_text, colour, layout
from registry.metrics import is_share

SMALLEST_MARKER, LARGEST_MARKER, UNMEASURED_MARKER = 10.0, 32.0, 13.0


@dataclass(frozen=True, slots=True)
class VariantPoint:
    """One variant on the chart.

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
    measures = {
        "bytes": ([float(point.cost_bytes) for point in points], formats.bytes_text, "bytes for the whole fleet"),
        "money": (
            [float(point.cost_money) for point in points],
            formats.amount_text,
            f"{currency} for the whole fleet",
        ),
    }
    scales = {"linear": linear_axis, "log": log_axis}
    return {
        f"{measure}-{scale}": _Chart(points, costs, axis(title, costs, text), metric, currency).figure()
        for measure, (costs, text, title) in measures.items()
        for scale, axis in scales.items()
    }


@dataclass(frozen=True, slots=True)
class _Chart:
    """One figure in the making: points, and their costs in one measure on one axis."""

    points: Sequence[VariantPoint]
    costs: Sequence[float]
    axis: CostAxis
    metric: str
    currency: str

    def figure(self) -> Figure:
        versions = list(dict.fromkeys(point.version for point in self.points))
        sizes = self._sizes()
        places = place_labels(self._marks(sizes))
        traces = [self._front()]
        for number, version in enumerate(versions):
            own = [place for place, point in enumerate(self.points) if point.version == version]
            own.sort(key=lambda place: -sizes[place])  # small marks over large ones
            traces.append(self._version(own, sizes, places, version, colour(number)))
        traces += _legend(self.points)
        tick_format = ".1%" if is_share(self.metric) else ".4~g"
        yaxis = {"title": {"text": as_text(self.metric), "standoff": 14}, "tickformat": tick_format}
        return {"data": traces, "layout": layout(self.axis.spec, yaxis)}

    def _front(self) -> Figure:
        values = [point.value for point in self.points]
        front = pareto_front(self.costs, values, higher_is_better=formats.higher_is_better(self.metric))
        return {
            "type": "scatter",
            "mode": "lines",
            "name": "Pareto front",
            "x": [self.axis.place(self.costs[place]) for place in front],
            "y": [values[place] for place in front],
            "line": {"color": "var(--ink-soft)", "dash": "dot", "width": 1.5, "shape": "hv"},
            "hoverinfo": "skip",
        }

    def _version(
        self, own: Sequence[int], sizes: Sequence[float], places: Sequence[str | None], name: str, of_version: str
    ) -> Figure:
        points = [self.points[place] for place in own]
        return {
            "type": "scatter",
            "mode": "markers+text",
            "name": as_text(name),
            "x": [self.axis.place(self.costs[place]) for place in own],
            "y": [point.value for point in points],
            "text": [as_text(self.points[place].label) if places[place] else "" for place in own],
            "textposition": [places[place] or "top right" for place in own],
            "textfont": {
                "size": 11,
                "color": "var(--ink)",
                # Not <b>, which Plotly turns into an inline style, and those the pages' policy forbids.
                "weight": ["bold" if point.is_current else "normal" for point in points],
            },
            "hovertext": [self._hover(point) for point in points],
            "hoverinfo": "text",
            "error_y": _error_bars(points, of_version),
            "marker": _markers(points, [sizes[place] for place in own], of_version),
            "cliponaxis": False,
        }

    def _marks(self, sizes: Sequence[float]) -> list[Mark]:
        """The marks as shares of the plot; its upright edges are about where Plotly puts them, around the intervals."""
        lows = [point.value if point.low is None else point.low for point in self.points]
        highs = [point.value if point.high is None else point.high for point in self.points]
        bottom, height = min(lows), (max(highs) - min(lows)) or 1.0
        return [
            Mark(self.axis.share(cost), (point.value - bottom) / height, size, point.label, point.is_current)
            for point, cost, size in zip(self.points, self.costs, sizes, strict=True)
        ]

    def _sizes(self) -> list[float]:
        """Diameters whose areas follow p50 latency; what nobody measured has a size of its own."""
        slowest = max((point.p50_latency_ns or 0 for point in self.points), default=0) or 1
        return [
            UNMEASURED_MARKER
            if point.p50_latency_ns is None
            else max(SMALLEST_MARKER, LARGEST_MARKER * math.sqrt(point.p50_latency_ns / slowest))
            for point in self.points
        ]

    def _hover(self, point: VariantPoint) -> str:
        bound = "at most " if point.is_upper_bound else ""
        interval = ""
        if point.low is not None and point.high is not None:
            low, high = (formats.metric_text(edge, self.metric) for edge in (point.low, point.high))
            interval = f" ({low} to {high})"
        measured = point.p50_latency_ns is not None
        lines = [
            f"{as_text(point.label)}{', most of the fleet' if point.is_current else ''}",
            f"{as_text(self.metric)} {formats.metric_text(point.value, self.metric)}{interval}",
            f"{bound}{formats.bytes_text(point.cost_bytes)}, {formats.money_text(point.cost_money, self.currency)}",
            point.ways,
            f"p50 latency {formats.ms_text(point.p50_latency_ns)}" if measured else "no measurement of latency",
        ]
        return "<br>".join(line for line in lines if line)


def _markers(points: Sequence[VariantPoint], sizes: Sequence[float], of_version: str) -> Figure:
    """Filled where latency was measured, hollow where not, ringed where most of the fleet is."""
    edges = ["var(--ink)" if point.is_current else of_version for point in points]
    widths = [3.0 if point.is_current else 2.0 if point.p50_latency_ns is None else 1.0 for point in points]
    return {
        "size": list(sizes),
        "symbol": ["circle-open" if point.p50_latency_ns is None else "circle" for point in points],
        # Plotly draws an open mark in its own colour and looks at the line's width alone.
        "color": [
            "var(--ink)" if point.is_current and point.p50_latency_ns is None else of_version for point in points
        ],
        "opacity": 0.9,
        "line": {"color": edges, "width": widths},
    }


def _error_bars(points: Sequence[VariantPoint], of_version: str) -> Figure:
    """The 95 % intervals; a variant without one has a bar of no length."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [0.0 if point.high is None else point.high - point.value for point in points],
        "arrayminus": [0.0 if point.low is None else point.value - point.low for point in points],
        "color": of_version,
        "thickness": 1.2,
        "width": 4,
    }


def _legend(points: Sequence[VariantPoint]) -> list[Figure]:
    """Lines of the legend without points of their own: what a ring and a hollow mark say, where there are any."""
    lines = []
    if any(point.is_current for point in points):
        lines.append(
            ("ringed: most of the fleet", {"color": "rgba(0,0,0,0)", "line": {"width": 3, "color": "var(--ink)"}})
        )
    if any(point.p50_latency_ns is None for point in points):
        lines.append(
            ("hollow: no measurement", {"symbol": "circle-open", "color": "var(--ink-soft)", "line": {"width": 2}})
        )
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "x": [None],
            "y": [None],
            "marker": {"size": 10, **marker},
            "hoverinfo": "skip",
        }
        for name, marker in lines
    ]
