"""The operators' pages in a real browser."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import DEVICES, OpenTab
from tests.factories.scenario import VARIANTS

pytestmark = pytest.mark.browser

VARIANT_COUNT = sum(len(forms) for forms in VARIANTS.values())
PATHS = [
    "/",
    "/models/",
    "/models/digits/",
    "/models/digits/deltas/",
    "/rollouts/",
    "/rollouts/new/",
    "/devices/",
    "/devices/?waiting_for=quiet-hours",
    "/benchmarks/",
]


def rollout_path(page: Page, variant: str) -> str:
    """The address of the rollout to this variant."""
    page.goto(re.sub(r"(https?://[^/]+)/.*", r"\1/rollouts/", page.url))
    path = page.get_by_role("link", name=f"digits → {variant}", exact=True).get_attribute("href")
    assert path is not None
    return path


def test_chart_of_accuracy_against_cost_is_drawn_and_switches(open_tab: OpenTab) -> None:
    tab = open_tab("viewer")
    page = tab.open("/models/digits/")
    chart = page.locator("#accuracy-cost")
    expect(chart.locator(".scatterlayer path.point")).to_have_count(VARIANT_COUNT)
    expect(chart.locator(".errorbars path.yerror")).to_have_count(VARIANT_COUNT)
    expect(chart.locator(".xtitle")).to_have_text("bytes for the whole fleet")

    page.get_by_role("button", name="Money").click()
    expect(chart).to_have_attribute("data-drawn", "money-linear")
    expect(chart.locator(".xtitle")).to_have_text("EUR for the whole fleet")
    expect(page.get_by_role("button", name="Money")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("button", name="Bytes")).to_have_attribute("aria-pressed", "false")
    page.get_by_role("button", name="Log", exact=True).click()
    expect(chart).to_have_attribute("data-drawn", "money-log")
    expect(chart.locator(".scatterlayer path.point")).to_have_count(VARIANT_COUNT)
    assert tab.complaints == []


def test_chart_takes_the_colours_of_the_dark_page(open_tab: OpenTab) -> None:
    tab = open_tab("viewer")
    page = tab.open("/models/digits/")
    words = page.locator("#accuracy-cost .xtitle")
    light = words.evaluate("element => getComputedStyle(element).fill")
    page.emulate_media(color_scheme="dark")
    expect(words).not_to_have_css("fill", light)
    assert tab.complaints == []


def test_hover_tells_price_ways_and_latency(open_tab: OpenTab) -> None:
    page = open_tab("viewer").open("/models/digits/")
    page.locator("#accuracy-cost").scroll_into_view_if_needed()
    point = page.locator("#accuracy-cost .scatterlayer path.point").first.bounding_box()
    assert point is not None
    page.mouse.move(point["x"] + point["width"] / 2, point["y"] + point["height"] / 2)
    hover = page.locator("#accuracy-cost .hoverlayer")
    expect(hover).to_contain_text("EUR")
    expect(hover).to_contain_text("by delta")
    expect(hover).to_contain_text("p50 latency")


@pytest.mark.parametrize(("width", "dark"), [(400, True), (1280, False)])
def test_no_page_is_wider_than_its_window(open_tab: OpenTab, width: int, dark: bool) -> None:  # noqa: FBT001
    tab = open_tab("operator", width=width, dark=dark)
    rollout = rollout_path(tab.page, "1.1.0 fp32")
    device = tab.open("/devices/").locator("tbody th a").first.get_attribute("href")
    for path in [*PATHS, rollout, str(device)]:
        tab.open(path)
        assert tab.overflow_px() == 0, path
    assert tab.complaints == []


@pytest.mark.parametrize("width", [400, 1280])
def test_matrix_of_patches_scrolls_in_its_own_box_and_keeps_its_names(open_tab: OpenTab, width: int) -> None:
    page = open_tab("viewer", width=width).open("/models/digits/deltas/")
    box = page.locator(".matrix-box")
    first = box.get_by_role("rowheader", name=re.compile(r"^1\.0\.0 fp32"))
    before = first.bounding_box()
    box.evaluate("element => element.scrollTo(10_000, 10_000)")
    after = first.bounding_box()
    assert before is not None
    assert after is not None
    assert after["x"] == before["x"]
    scrolls: bool = box.evaluate("element => element.scrollWidth > element.clientWidth")
    assert scrolls == (width == 400)


def test_keyboard_reaches_the_content_first(open_tab: OpenTab) -> None:
    page = open_tab("viewer").open("/devices/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Find")).to_be_focused()


def test_everything_reads_and_works_without_javascript(open_tab: OpenTab) -> None:
    page = open_tab("operator", javascript=False).open("/models/digits/")
    expect(page.get_by_text("The chart is drawn by JavaScript")).to_be_visible()
    expect(page.locator("#accuracy-cost")).to_be_hidden()
    row = page.get_by_role("region", name="Variants").get_by_role("row", name=re.compile(r"^1\.1\.0 int8"))
    expect(row).to_contain_text("97.8")
    row.get_by_role("link", name="Roll out").click()
    expect(page.get_by_role("heading", name="Forecast")).to_be_visible()
    expect(page.get_by_text(f"{DEVICES} by delta")).to_be_visible()


def test_operator_stops_one_rollout_and_starts_another(open_tab: OpenTab) -> None:
    """The page of the stopped one, open in another tab, notices by itself."""
    tab, watching = open_tab("operator"), open_tab("viewer")
    running, draft = rollout_path(tab.page, "1.1.0 fp32"), rollout_path(tab.page, "1.1.0 int8")
    watched = watching.open(running)
    expect(watched.locator("h1 .state")).to_have_text("running")

    page = tab.open(running)
    page.get_by_role("button", name="Abort", exact=True).click()
    expect(page.get_by_text("The rollout is aborted.")).to_be_visible()
    expect(watched.locator("h1 .state")).to_have_text("aborted", timeout=20_000)

    page = tab.open(draft)
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text("The rollout runs.")).to_be_visible()
    expect(page.locator("h1 .state")).to_have_text("running")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    assert tab.complaints == watching.complaints == []


def test_admin_keeps_to_the_policy_of_what_may_be_loaded(open_tab: OpenTab) -> None:
    tab = open_tab("admin")
    for path in ("/admin/", "/admin/registry/modelline/", "/admin/devices/device/"):
        page = tab.open(path)
        page.get_by_role("heading").first.wait_for()
    page.locator("tbody th a").first.click()
    page.get_by_role("heading").first.wait_for()
    # Django's pages name no icon, so the browser asks for one.
    assert [complaint for complaint in tab.complaints if "404" not in complaint] == []


def test_what_the_policy_forbids_is_stopped_and_heard(open_tab: OpenTab) -> None:
    """The other tests would not notice a policy that is not there, nor a tab that hears nothing."""
    tab = open_tab("viewer")
    page = tab.open("/")
    page.evaluate("""() => {
        const script = document.createElement("script");
        script.textContent = "window.planted = true";
        document.body.append(script);
        document.body.setAttribute("style", "color: red");
        new Image().src = "http://192.0.2.1/stolen.png";
    }""")
    page.wait_for_timeout(300)
    assert page.evaluate("window.planted") is None
    assert sum("Content Security Policy" in complaint for complaint in tab.complaints) >= 3, tab.complaints
