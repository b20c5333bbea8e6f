"""How devices come in, in a real browser: a token is made and read off, a device waits and is let in."""

import httpx
import pytest
from playwright.sync_api import expect

from agent.trust.pins import split
from tests.browser.conftest import OpenTab

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("width", [1280, 400])
def test_token_is_made_a_device_waits_and_is_let_in(open_tab: OpenTab, width: int) -> None:
    tab = open_tab("operator", width=width)
    page = tab.open("/enrollment/new/")
    page.get_by_label("Name", exact=True).fill(f"batch {width}")
    page.get_by_label("What lets a device in").select_option("approval")
    page.get_by_label("For how many devices").fill("2")
    page.get_by_label("Fixed attributes").fill("site=berlin")
    page.get_by_role("button", name="Make the token").click()
    secret = split(page.locator("pre.secret").inner_text()).secret
    assert tab.overflow_px() <= 0

    credentials = []
    for name in ("first", "second"):
        body = {"token": secret, "name": f"{name}-{width}", "attributes": {"floor": "2"}}
        enrolled = httpx.post(f"{tab.url}/api/v1/enroll", json=body, trust_env=False)
        assert (enrolled.status_code, enrolled.json()["approved"]) == (201, False)
        credentials.append(enrolled.json()["credential"])

    def poll(credential: str) -> int:
        headers = {"Authorization": f"Bearer {credential}"}
        return httpx.get(f"{tab.url}/api/v1/poll", headers=headers, trust_env=False).status_code

    page = tab.open("/devices/pending/")
    assert tab.overflow_px() <= 0
    everyone = page.get_by_label("All on this page")
    everyone.check()
    expect(page.get_by_label(f"second-{width}")).to_be_checked()
    page.get_by_label(f"second-{width}").uncheck()
    expect(everyone).not_to_be_checked()
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("status")).to_have_text("1 device approved.")
    assert [poll(credential) for credential in credentials] == [409, 403], "say-first, and still waiting"
    page.get_by_label(f"second-{width}").check()
    page.get_by_role("button", name="Reject").click()
    expect(page.get_by_text("No device waits.")).to_be_visible()
    assert poll(credentials[1]) == 401
    page = tab.open("/enrollment/")
    expect(page.get_by_role("link", name=f"batch {width}")).to_be_visible()
    assert tab.complaints == []
