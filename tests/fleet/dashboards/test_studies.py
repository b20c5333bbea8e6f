"""The pages of studies with nothing, little and much."""

import json
import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from access.models import Role
from fleet.dashboards.charts.study_front import MOST_POINTS, StudyPoint, drawn_points, study_front_charts
from fleet.dashboards.queries.studies import Order, facts_of
from registry.models import ModelLine
from tests.factories.people import make_person
from tests.factories.registry import make_line, make_variant, make_version, onnx_model
from tests.factories.studies import make_study, study_document, study_point
from tests.fleet.dashboards.test_pages import Page, text_of

pytestmark = pytest.mark.django_db
PATH = "/models/digits/studies/widths/"


@pytest.fixture
def line(db: None) -> ModelLine:
    return make_line()


def rows_of(shown: str) -> list[int]:
    """The numbers of the points in the table, in order."""
    return [int(number) for number in re.findall(r'<th scope="row">(\d+)\s', shown)]


def figures_of(response: Any) -> dict[str, Any]:
    source = response.content.decode()
    found = re.search(r'<script id="study-figures" type="application/json">(.*?)</script>', source)
    assert found
    figures: dict[str, Any] = json.loads(found.group(1))
    return figures


def drawn(figure: Any) -> int:
    return sum(len(trace["x"]) for trace in figure["data"] if trace["mode"] != "lines")


def test_list_says_how_to_begin_and_then_names_the_studies(line: ModelLine, viewer: Client) -> None:
    empty = text_of(viewer.get("/models/digits/studies/"))
    assert "smallfleet study run" in empty
    make_study(line, "widths", 3)
    shown = text_of(viewer.get("/models/digits/studies/"))
    assert f'<a href="{PATH}">widths</a>' in shown
    assert "1 study" in shown
    assert '<a class="button quiet" href="/models/digits/studies/">' in text_of(viewer.get("/models/digits/"))


@pytest.mark.parametrize("points", [0, 1, 3, 2000])
def test_page_is_whole_with_any_number_of_points(line: ModelLine, viewer: Client, points: int) -> None:
    make_study(line, points=points)
    with CaptureQueriesContext(connection) as queries:
        response = viewer.get(PATH)
    assert response.status_code == 200
    assert len(queries) <= 8
    shown = text_of(response)
    page = Page(shown)
    assert page.inline == []
    assert page.ids.most_common(1)[0][1] == 1
    assert len(rows_of(shown)) == min(points, 50)
    assert ("study-figures" in shown) == (points > 0)
    assert len(response.content) < 1_500_000
    if points == 2000:
        assert "Page 1 of 40" in shown
        complete = sum(point["state"] == "complete" for point in study_document(points=2000)["points"])
        assert drawn(figures_of(response)["size_bytes"]) == complete


def test_page_says_objectives_budgets_findings_and_the_specification(line: ModelLine, viewer: Client) -> None:
    make_study(line, points=20)
    shown = text_of(viewer.get(PATH))
    for words in (
        "accuracy high, file low",
        "file at most 100.0 kB, accuracy at least 80.0 %",
        "Beyond width 1.25 more of it was not found to buy accuracy.",
        "paired t-test; p = 0.31",
        "Whether share stops buying accuracy is not known.",
        "torch 2.13.0",
        "width = { from = 0.25, to = 2.0 }",
        "no hope after 3 epochs",
    ):
        assert words in shown, words
    assert "smallfleet None" not in shown


def test_table_is_ordered_by_any_column_and_what_is_not_known_comes_last(line: ModelLine, viewer: Client) -> None:
    make_study(line, points=20)
    metrics = {point["number"]: point["metrics"] for point in study_document(points=20)["points"]}
    for metric in ("accuracy", "delta_bytes"):
        for sign in ("", "-"):
            shown = text_of(viewer.get(f"{PATH}?sort={sign}{metric}"))
            values = [metrics[number][metric] for number in rows_of(shown)]
            known = [value for value in values if value is not None]
            assert values == sorted(known, reverse=sign == "-") + [None] * (20 - len(known))
            assert f'aria-sort="{"descending" if sign else "ascending"}"' in shown
    assert rows_of(text_of(viewer.get(f"{PATH}?sort=<script>"))) == list(range(20))


def test_table_shows_the_front_or_what_is_within_the_budgets(line: ModelLine, viewer: Client) -> None:
    make_study(line, points=20)
    points = study_document(points=20)["points"]
    for show, flag in (("front", "on_front"), ("within", "within_budgets")):
        wanted = [point["number"] for point in points if point[flag]]
        assert wanted
        assert rows_of(text_of(viewer.get(f"{PATH}?show={show}"))) == wanted
    make_study(line, points=[study_point(0, within_budgets=False)])
    assert "No point is" in text_of(viewer.get(f"{PATH}?show=front"))


def test_published_points_are_linked(line: ModelLine, viewer: Client) -> None:
    draft = make_version(line, "2.0.0-rc.1")
    variant = make_variant(draft, "point-1", content=onnx_model(4), is_live=False)
    points = [study_point(0), study_point(1, sha256=variant.artifact.sha256), study_point(2)]
    make_study(line, points=points)
    shown = text_of(viewer.get(PATH))
    assert shown.count('<a href="/models/digits/#versions">2.0.0-rc.1 point-1</a>') == 2
    assert '<span class="state draft">draft</span>' in shown


def test_words_of_a_study_are_only_words(line: ModelLine, viewer: Client) -> None:
    evil = "<img src=x onerror=alert(1)>"
    point = study_point(0, parameters={evil: evil}, state="failed", failure=evil)
    make_study(line, points=[point, study_point(1)], spec=evil)
    source = viewer.get(PATH).content.decode()
    assert evil not in source


def test_study_is_not_there_for_whoever_may_not_see_its_line(line: ModelLine) -> None:
    make_study(make_line("kws"))
    client = Client()
    client.force_login(make_person("viewer:digits"))
    assert client.get("/models/kws/studies/").status_code == 404
    assert client.get("/models/kws/studies/widths/").status_code == 404
    assert client.get(PATH).status_code == 404
    assert client.get("/models/digits/studies/").status_code == 200


def point(number: int, accuracy: float, size: float, **changes: Any) -> StudyPoint:
    fields: dict[str, Any] = {"low": None, "high": None, "on_front": False, "within_budgets": True, **changes}
    return StudyPoint(number=number, accuracy=accuracy, costs={"size_bytes": size, "delta_bytes": None}, **fields)


def test_front_is_drawn_among_what_is_within_the_budgets_alone() -> None:
    points = [
        point(0, 0.8, 1000),
        point(1, 0.9, 2000, on_front=True),
        point(2, 0.85, 3000),
        point(3, 0.99, 500, within_budgets=False),
    ]
    figures = study_front_charts(points, ["size_bytes", "delta_bytes"])
    front, outside, within, best = figures["size_bytes"]["data"]
    assert list(zip(front["x"], front["y"], strict=True)) == [(1000, 0.8), (2000, 0.9)]
    assert outside["marker"]["color"] == "var(--waiting)"
    assert outside["y"] == [0.99]
    assert within["y"] == [0.8, 0.85]
    assert (best["y"], best["text"]) == ([0.9], ["1"])
    assert drawn(figures["delta_bytes"]) == 0


def test_wide_spread_of_costs_is_drawn_on_a_logarithmic_axis() -> None:
    narrow = study_front_charts([point(0, 0.8, 1000), point(1, 0.9, 2000)], ["size_bytes"])
    wide = study_front_charts([point(0, 0.8, 1000), point(1, 0.9, 200_000)], ["size_bytes"])
    assert narrow["size_bytes"]["layout"]["xaxis"]["type"] == "linear"
    assert wide["size_bytes"]["layout"]["xaxis"]["type"] == "log"


def test_of_too_many_points_the_front_is_drawn_first() -> None:
    points = [
        point(number, 0.5, 1, within_budgets=number % 2 == 0, on_front=number == 9998) for number in range(10_000)
    ]
    shown = drawn_points(points)
    assert len(shown) == MOST_POINTS
    assert shown[-1].number == 9998
    assert all(one.within_budgets for one in shown)


def test_order_asked_again_is_turned_and_accuracy_begins_with_the_highest() -> None:
    assert Order.read("").column("accuracy").order == "-accuracy"
    assert Order.read("-accuracy").column("accuracy").order == "accuracy"
    assert Order.read("").column("macs").order == "macs"
    assert Order.read("macs").column("macs").order == "-macs"
    assert Order.read("").column("number").order == "-number"


def test_still_rising_is_told_from_not_tested() -> None:
    found = facts_of(
        study_document(
            saturation=[
                {
                    "parameter": "size_bytes",
                    "metric": "accuracy",
                    "saturates_at": 52_000,
                    "test": "McNemar",
                    "p_value": 0.5,
                },
                {"parameter": "width", "metric": "accuracy", "saturates_at": None, "test": "t-test", "p_value": 0.001},
            ]
        )
    )
    assert [words.replace("\u00a0", " ") for words, _ in found.findings] == [
        "Beyond file 52.0 kB more of it was not found to buy accuracy.",
        "More width still buys accuracy, up to the most that was tried.",
    ]
    assert [test for _, test in found.findings] == ["McNemar; p = 0.5", "t-test; p = 0.001"]


def test_operators_see_studies_too(line: ModelLine, client_of: Any) -> None:
    make_study(line)
    assert client_of(Role.OPERATOR).get(PATH).status_code == 200
