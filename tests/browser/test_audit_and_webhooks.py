"""The admins' pages of audit and webhooks in a real browser, on a desk and on a phone."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenTab, Tab

pytestmark = pytest.mark.browser
SIZES = pytest.mark.parametrize(("width", "dark"), [(1280, False), (400, True)])


def looked_at(tab: Tab) -> None:
    """No wider than its window, and without a complaint."""
    assert tab.overflow_px() == 0
    assert tab.complaints == []


@SIZES
def test_audit_page_filters_and_shows_what_changed(open_tab: OpenTab, width: int, dark: bool) -> None:  # noqa: FBT001
    tab = open_tab("admin", width=width, dark=dark)
    page = tab.open("/audit/")
    expect(page.get_by_role("heading", name="Records, newest first")).to_be_visible()
    looked_at(tab)
    page.get_by_label("Action").fill("create_person")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("table.records tbody tr")).to_have_count(3)
    expect(page.locator("ins").first).to_be_visible()
    page.get_by_role("link", name="operator", exact=True).click()
    expect(page.locator("table.records tbody tr")).to_have_count(1)
    expect(page).to_have_url(re.compile("subject=operator"))
    looked_at(tab)


@SIZES
def test_webhook_is_made_pinged_and_deleted(open_tab: OpenTab, width: int, dark: bool) -> None:  # noqa: FBT001
    tab = open_tab("admin", width=width, dark=dark)
    page = tab.open("/webhooks/")
    page.get_by_label("Address").fill("https://hooks.example.org/services/T0000/B0000/" + "x" * 60)
    page.get_by_label("a version is yanked").check()
    page.get_by_role("button", name="Create").click()
    expect(page.locator("pre.secret")).to_have_text(re.compile(r"^\s*sfw_[A-Za-z0-9_-]{43}\s*$"))
    looked_at(tab)
    page.get_by_role("link", name="Its deliveries").click()
    page.get_by_role("button", name="Ping").click()
    expect(page.get_by_role("status")).to_contain_text("A ping is on its way.")
    page.locator("details.attempt summary").click()
    expect(page.locator("details.attempt")).to_contain_text("not tried yet")
    looked_at(tab)
    tab.open("/webhooks/")
    looked_at(tab)
    page.get_by_role("link", name="hooks.example.org").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("Nobody yet.")).to_be_visible()
