"""The pages of studies in a real browser."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenTab

pytestmark = pytest.mark.browser
PATH = "/models/digits/studies"


@pytest.mark.parametrize(("width", "dark"), [(400, True), (1280, False)])
def test_pages_fit_their_window_with_any_number_of_points(open_tab: OpenTab, width: int, dark: bool) -> None:  # noqa: FBT001
    tab = open_tab("viewer", width=width, dark=dark)
    for path in (f"{PATH}/", f"{PATH}/nothing/", f"{PATH}/three/", f"{PATH}/large/?sort=-accuracy&page=40"):
        tab.open(path)
        assert tab.overflow_px() == 0, path
    assert tab.complaints == []


def test_chart_is_drawn_against_the_chosen_cost(open_tab: OpenTab) -> None:
    tab = open_tab("viewer")
    page = tab.open(f"{PATH}/three/")
    chart = page.locator("#study-front")
    expect(chart.locator(".scatterlayer path.point")).to_have_count(3)
    expect(chart.locator(".xtitle")).to_have_text("file")
    page.get_by_role("button", name="MACs").click()
    expect(chart).to_have_attribute("data-drawn", "macs")
    expect(chart.locator(".xtitle")).to_have_text("MACs")
    expect(page.get_by_role("button", name="MACs")).to_have_attribute("aria-pressed", "true")
    # One of the three has no delta.
    page.get_by_role("button", name="Delta").click()
    expect(chart.locator(".scatterlayer path.point")).to_have_count(2)
    assert tab.complaints == []


def test_table_is_ordered_and_turned_by_its_heads_also_without_javascript(open_tab: OpenTab) -> None:
    page = open_tab("viewer", javascript=False).open(f"{PATH}/three/")
    expect(page.get_by_text("The chart is drawn by JavaScript")).to_be_visible()
    table = page.get_by_role("region", name="3 points")
    table.get_by_role("link", name="Accuracy").click()
    expect(table.get_by_role("rowheader").first).to_contain_text("2")
    table.get_by_role("link", name="Accuracy").click()
    expect(table.get_by_role("rowheader").first).to_contain_text("0")
    page.get_by_role("link", name="On the front").click()
    expect(page.get_by_role("heading", name="2 points of 3")).to_be_visible()


def test_studies_are_found_from_their_model_line(open_tab: OpenTab) -> None:
    page = open_tab("viewer").open("/models/digits/")
    page.get_by_role("link", name="What was explored").click()
    page.get_by_role("link", name="three").click()
    expect(page.get_by_role("heading", name="three")).to_be_visible()
