"""A real server in a process of its own with a filled SQLite file, and a real browser in front of it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.factories.people import PASSWORD

ROOT = Path(__file__).parents[2]
DEVICES = 12
# Chromium without a sandbox (containers), without a GPU, and without anything that asks the network by itself.
CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
]
FILL = f"""
import django; django.setup()
from django.core.management import call_command
from tests.factories.people import make_person
from tests.factories.scenario import make_scenario
from tests.factories.studies import make_study
call_command("migrate", verbosity=0)
for role in ("operator", "viewer", "admin"):
    make_person(role)
line = make_scenario({DEVICES}).line
for name, points in (("nothing", 0), ("three", 3), ("large", 2000)):
    make_study(line, name, points)
"""


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_it_answers(server: subprocess.Popen[bytes], url: str) -> None:
    """Return when the login page comes; fail when the process ends or 30 s have passed."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert server.poll() is None, "the server ended"
        try:
            if httpx.get(f"{url}/login/", timeout=5).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail("the server did not answer within 30 s")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server whose fleet is the scenario's."""
    home = tmp_path_factory.mktemp("server")
    port = free_port()
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "SMALLFLEET_HOME": str(home),
        "SMALLFLEET_DATABASE_URL": f"sqlite:///{home / 'smallfleet.sqlite3'}",
        "SMALLFLEET_WEB_WORKERS": "1",
    }
    subprocess.run([sys.executable, "-c", FILL], check=True, cwd=ROOT, env=environment, timeout=120)
    command = [sys.executable, "-m", "gunicorn", "-c", "fleet/gunicorn_conf.py", "-b", f"127.0.0.1:{port}"]
    with subprocess.Popen([*command, "fleet.wsgi:application"], cwd=ROOT, env=environment) as process:
        try:
            wait_until_it_answers(process, f"http://127.0.0.1:{port}")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=30)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for the module; it must end with it, for while it runs this thread has an event loop and Django's ORM refuses to work."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=os.environ["SMALLFLEET_TEST_BROWSER"], args=CHROMIUM)
        yield chromium
        chromium.close()


class Tab:
    """A page, and what it complained about."""

    def __init__(self, page: Page, url: str, *, javascript: bool) -> None:
        self.page = page
        self.javascript = javascript
        self.url = url
        self.complaints: list[str] = []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _heard(self, message: object) -> None:
        kind, text = getattr(message, "type", ""), getattr(message, "text", "")
        if kind in {"error", "warning"}:
            self.complaints.append(text)

    def open(self, path: str) -> Page:
        """Go to a path; a chart is drawn when this returns."""
        answer = self.page.goto(self.url + path)
        assert answer is not None
        assert answer.status == httpx.codes.OK, path
        for chart in self.page.locator(".chart").all() if self.javascript else []:
            chart.locator("xpath=self::*[@data-drawn]").wait_for(state="attached")
        return self.page

    def overflow_px(self) -> int:
        """By how much the page is wider than its window."""
        wider: int = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        return wider


OpenTab = Callable[..., Tab]


@pytest.fixture
def open_tab(browser: Browser, server: str) -> Iterator[OpenTab]:
    """Opens tabs in which somebody is logged in, through the login page."""
    contexts: list[BrowserContext] = []

    def opened(name: str, *, width: int = 1280, dark: bool = False, javascript: bool = True) -> Tab:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            java_script_enabled=javascript,
        )
        contexts.append(context)
        tab = Tab(context.new_page(), server, javascript=javascript)
        page = tab.open("/login/")
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("heading", name="Overview", exact=True).wait_for()
        return tab

    yield opened
    for context in contexts:
        context.close()
