"""People and one's own account in a real browser, wide and narrow."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenTab

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("width", [1280, 400])
def test_admin_makes_a_person_and_switches_them_off(open_tab: OpenTab, width: int) -> None:
    tab = open_tab("admin", width=width)
    page = tab.open("/people/")
    assert tab.overflow_px() == 0
    page.get_by_label("Name", exact=True).fill(f"berta-{width}")
    page.get_by_label("Grants").fill("operator:digits@berlin\nviewer")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"berta-{width}")
    expect(page.get_by_role("status").first).to_contain_text("shown this once")
    assert tab.overflow_px() == 0
    page.get_by_role("button", name="Switch off").click()
    expect(page.get_by_text("switched off", exact=True)).to_be_visible()


@pytest.mark.parametrize("width", [1280, 400])
def test_person_makes_and_ends_a_token(open_tab: OpenTab, width: int) -> None:
    tab = open_tab("operator", width=width)
    page = tab.open("/account/")
    page.get_by_label("What it is for").fill("laptop")
    page.get_by_role("checkbox", name="read").check()
    page.get_by_role("button", name="Make it").click()
    expect(page.get_by_text("sft_")).to_be_visible()
    assert tab.overflow_px() == 0
    page.get_by_role("button", name="End", exact=True).first.click()
    expect(page.get_by_text("The token has ended.")).to_be_visible()
    assert tab.overflow_px() == 0
    page.get_by_role("link", name="Change the password").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Change the password")
    assert tab.overflow_px() == 0
