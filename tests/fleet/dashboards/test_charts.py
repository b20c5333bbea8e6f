"""Figures from values."""

import json
import math
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from fleet.dashboards.charts.accuracy_cost import (
    LARGEST_MARKER,
    UNMEASURED_MARKER,
    VariantPoint,
    accuracy_cost_chart,
    pareto_front,
)
from fleet.dashboards.charts.labels import Mark, place_labels
from fleet.dashboards.charts.latency import LatencyPoint, latency_chart

OLD = VariantPoint(
    label="1.0.0 fp32",
    version="1.0.0",
    value=0.96,
    low=0.94,
    high=0.97,
    cost_bytes=0,
    cost_money=Decimal(0),
    ways="3 there already",
    p50_latency_ns=4_000_000,
    is_current=True,
    is_upper_bound=False,
)
NEW = replace(
    OLD, label="1.1.0 fp32", version="1.1.0", value=0.98, low=None, high=None, cost_bytes=1_500_000,
    cost_money=Decimal("0.30"), p50_latency_ns=1_000_000, is_current=False, is_upper_bound=True,
)  # fmt: skip
INT8 = replace(NEW, label="1.1.0 int8", value=0.97, cost_bytes=360_000, cost_money=Decimal("0.07"), p50_latency_ns=None)
POINTS = [OLD, NEW, INT8]


def figures(points: list[VariantPoint] = POINTS, metric: str = "accuracy") -> dict[str, Any]:
    made = accuracy_cost_chart(points, metric=metric, currency="EUR")
    # What the page gets is what JSON can carry, and JSON has no NaN.
    return dict(json.loads(json.dumps(made, allow_nan=False)))


def variants(figure: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The drawn points by their hover title."""
    return {
        hover.split("<br>")[0].removesuffix(", most of the fleet"): {
            "x": trace["x"][place],
            "y": trace["y"][place],
            "size": trace["marker"]["size"][place],
            "symbol": trace["marker"]["symbol"][place],
            "ring": trace["marker"]["line"]["width"][place],
            "up": trace["error_y"]["array"][place],
            "down": trace["error_y"]["arrayminus"][place],
            "hover": hover,
        }
        for trace in figure["data"]
        if "hovertext" in trace
        for place, hover in enumerate(trace["hovertext"])
    }


def test_every_variant_is_one_point_at_its_cost_and_value() -> None:
    drawn = variants(figures()["bytes-linear"])
    assert {name: (point["x"], point["y"]) for name, point in drawn.items()} == {
        "1.0.0 fp32": (0, 0.96),
        "1.1.0 fp32": (1_500_000, 0.98),
        "1.1.0 int8": (360_000, 0.97),
    }
    assert variants(figures()["money-linear"])["1.1.0 int8"]["x"] == pytest.approx(0.07)


def test_error_bars_are_the_interval_and_none_without_one() -> None:
    drawn = variants(figures()["bytes-linear"])
    assert (drawn["1.0.0 fp32"]["up"], drawn["1.0.0 fp32"]["down"]) == pytest.approx((0.01, 0.02))
    assert (drawn["1.1.0 fp32"]["up"], drawn["1.1.0 fp32"]["down"]) == (0, 0)


def test_marker_areas_follow_latency_and_unmeasured_is_hollow_and_in_the_legend() -> None:
    figure = figures()["bytes-linear"]
    drawn = variants(figure)
    assert drawn["1.0.0 fp32"]["size"] == LARGEST_MARKER
    assert drawn["1.1.0 fp32"]["size"] == pytest.approx(LARGEST_MARKER / 2)  # a quarter of the latency, of the area
    assert drawn["1.1.0 int8"]["symbol"] == "circle-open"
    assert drawn["1.1.0 int8"]["size"] == UNMEASURED_MARKER
    assert "no measurement" in drawn["1.1.0 int8"]["hover"]
    assert "hollow: no measurement" in [trace["name"] for trace in figure["data"]]


def test_legend_says_nothing_of_hollow_marks_when_all_are_measured() -> None:
    names = [trace["name"] for trace in figures([OLD, NEW])["bytes-linear"]["data"]]
    assert "hollow: no measurement" not in names
    assert "ringed: most of the fleet" in names


def test_no_measurement_at_all_still_draws() -> None:
    drawn = variants(figures([replace(point, p50_latency_ns=None) for point in POINTS])["bytes-linear"])
    assert {point["size"] for point in drawn.values()} == {UNMEASURED_MARKER}


def test_current_version_is_ringed() -> None:
    drawn = variants(figures()["bytes-linear"])
    assert drawn["1.0.0 fp32"]["ring"] > max(drawn["1.1.0 fp32"]["ring"], drawn["1.1.0 int8"]["ring"])


def test_current_version_without_measurement_is_seen_over_a_larger_mark_at_its_place() -> None:
    """As after a step from fp32 to int8: both cost nothing, and are about as accurate."""
    large = replace(NEW, cost_bytes=0, cost_money=Decimal(0), is_upper_bound=False)
    current = replace(INT8, cost_bytes=0, cost_money=Decimal(0), value=0.981, is_current=True)
    for points in ([large, current], [current, large]):
        figure = figures(points)["bytes-linear"]
        (trace,) = [trace for trace in figure["data"] if trace["name"] == "1.1.0"]
        assert trace["y"] == [0.98, 0.981]
        assert trace["marker"]["color"][1] == "var(--ink)" != trace["marker"]["color"][0]
        assert trace["text"][1] == "1.1.0 int8"
        assert trace["textfont"]["weight"] == ["normal", "bold"]


def test_log_axis_draws_what_is_free_left_of_the_decades_over_a_zero() -> None:
    figure = figures()["bytes-log"]
    axis = figure["layout"]["xaxis"]
    drawn = variants(figure)
    assert axis["ticktext"][0] == "0"
    assert axis["tickvals"][0] == drawn["1.0.0 fp32"]["x"] < axis["tickvals"][1] <= drawn["1.1.0 int8"]["x"]
    assert axis["range"][0] < math.log10(drawn["1.0.0 fp32"]["x"])
    assert math.log10(drawn["1.1.0 fp32"]["x"]) < axis["range"][1]


@pytest.mark.parametrize("cost", [0, 1, 37, 999_999, 10**12])
def test_axes_hold_every_cost(cost: int) -> None:
    made = figures([replace(NEW, cost_bytes=cost, cost_money=Decimal(cost) / 1000)])
    for figure in made.values():
        low, high = figure["layout"]["xaxis"]["range"]
        (x,) = (point["x"] for point in variants(figure).values())
        at = math.log10(x) if figure["layout"]["xaxis"]["type"] == "log" else x
        assert low < at < high


def test_hover_says_ways_price_latency_and_that_it_may_get_cheaper() -> None:
    hover = variants(figures()["bytes-linear"])["1.1.0 fp32"]["hover"].replace("\u00a0", " ")
    assert "at most 1.5 MB, 0.30 EUR" in hover
    assert "3 there already" in hover
    assert "p50 latency 1.00 ms" in hover


@pytest.mark.parametrize(
    ("costs", "values", "front"),
    [
        ([], [], []),
        ([5, 1, 3], [0.9, 0.8, 0.7], [1, 0]),  # dearer and worse is off the front
        ([1, 1], [0.8, 0.9], [1]),  # of equal cost the better one
        ([1, 2], [0.9, 0.9], [0]),  # of equal value the cheaper one
    ],
)
def test_pareto_front_has_what_nothing_beats(costs: list[float], values: list[float], front: list[int]) -> None:
    assert pareto_front(costs, values, higher_is_better=True) == front


def test_front_of_an_error_prefers_the_lower() -> None:
    assert pareto_front([1, 2, 3], [0.2, 0.1, 0.3], higher_is_better=False) == [0, 1]
    front = figures(metric="top1-error")["bytes-linear"]["data"][0]
    assert front["name"] == "Pareto front"
    assert front["y"] == [0.96]  # the free one is also the lowest


def test_labels_avoid_marks_and_each_other_and_the_edge() -> None:
    alone = Mark(0.3, 0.5, 12, "1.0.0 fp32")
    assert place_labels([alone]) == ["top right"]
    assert place_labels([replace(alone, x=0.97)]) == ["top left"]
    first, second = place_labels([alone, replace(alone, x=0.34)])
    assert first != second
    assert None in place_labels([replace(alone, x=0.3 + 0.01 * step) for step in range(6)])


def test_latency_chart_has_a_row_per_variant_and_a_range_per_class() -> None:
    points = [
        LatencyPoint("1.0.0 fp32", "pi4", 8e6, 7e6, 11e6, 3),
        LatencyPoint("1.0.0 fp32", "pi5", 4e6, 4e6, 4e6, 1),
        LatencyPoint("1.1.0 fp32", "pi4", 9e6, 8e6, 12e6, 3),
    ]
    figure = json.loads(json.dumps(latency_chart(points), allow_nan=False))
    pi4, pi5 = figure["data"]
    assert (pi4["name"], pi4["x"], pi4["y"]) == ("pi4", [8, 9], ["1.0.0 fp32", "1.1.0 fp32"])
    assert (pi4["error_x"]["array"], pi4["error_x"]["arrayminus"]) == ([3, 3], [1, 1])
    assert (pi5["name"], pi5["x"]) == ("pi5", [4])
    assert figure["layout"]["yaxis"]["categoryarray"] == ["1.1.0 fp32", "1.0.0 fp32"]


def test_words_of_others_are_no_markup_in_a_chart() -> None:
    planted = '<a href="https://example.org">x</a>'
    drawn = json.dumps(figures([replace(OLD, label=planted, version=planted), NEW], metric=planted))
    latency = json.dumps(latency_chart([LatencyPoint(planted, planted, 8e6, 7e6, 11e6, 3)]))
    for figure in (drawn, latency):
        assert "&lt;a href" in figure
        assert "<a" not in figure
