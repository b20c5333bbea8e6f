"""What browsers are told, what devices are spared, and that production settings pass Django's deployment checks."""

import os
import re
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from django.test import Client
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from access.middleware import PAGE_HEADERS

ROOT = Path(__file__).parents[2]
PRODUCTION = {
    "SMALLFLEET_BEHIND_TLS": "1",
    "SMALLFLEET_ALLOWED_HOSTS": "fleet.example.org",
    "DJANGO_SETTINGS_MODULE": "fleet.settings",
}
COOKIE_PROGRAM = """
import django; django.setup()
from django.conf import settings
from django.core.management import call_command
from django.test import Client
call_command("migrate", verbosity=0)
answer = Client(headers={"host": "fleet.example.org", "x-forwarded-proto": "https"}).get("/login/")
for name, value in answer.headers.items():
    print(f"{name}: {value}")
for cookie in answer.cookies.values():
    print(f"Set-Cookie: {cookie.OutputString()}")
print("session cookie:", settings.SESSION_COOKIE_NAME, settings.SESSION_COOKIE_SECURE, settings.SESSION_COOKIE_SAMESITE)
"""


def manage(home: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A process with production's settings and nothing of this one's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SMALLFLEET_", "DJANGO_"))}
    variables = {**kept, **PRODUCTION, "SMALLFLEET_HOME": str(home), "SMALLFLEET_SECRET_KEY": secrets.token_urlsafe(50)}
    return subprocess.run(
        [sys.executable, *command],
        env={**variables, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def check(home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return manage(home, "manage.py", "check", "--deploy", "--fail-level", "WARNING", **environment)


def test_production_settings_pass_every_deployment_check(tmp_path: Path) -> None:
    ended = check(tmp_path)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"SMALLFLEET_ALLOWED_HOSTS": "*"}, "smallfleet.fleet.E005"),
        ({"SMALLFLEET_ALLOWED_HOSTS": "fleet.example.org,."}, "smallfleet.fleet.E005"),
        ({"SMALLFLEET_BEHIND_TLS": "0"}, "smallfleet.fleet.W001"),
        ({"SMALLFLEET_DEBUG": "1"}, "security.W018"),
        ({"SMALLFLEET_SECRET_KEY": "a" * 60}, "at least 10 different"),
        ({"SMALLFLEET_SECRET_KEY": "short"}, "at least 32 characters"),
        ({"SMALLFLEET_SECRET_KEY": "insecure-for-development-only-0123456789"}, "is the one for development"),
    ],
)
def test_a_weak_setting_is_told_by_name(tmp_path: Path, environment: dict[str, str], complaint: str) -> None:
    ended = check(tmp_path, **environment)
    assert ended.returncode != 0
    assert complaint in ended.stderr


def test_login_page_behind_tls_has_every_header_and_strict_cookies(tmp_path: Path) -> None:
    ended = manage(tmp_path, "-c", COOKIE_PROGRAM)
    assert ended.returncode == 0, ended.stderr
    said = dict(line.split(": ", 1) for line in ended.stdout.splitlines())
    assert said["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains; preload"
    assert said["session cookie"] == "__Host-session True Lax"
    cookie = said["Set-Cookie"]
    assert cookie.startswith("__Host-csrf=")
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert "Domain" not in cookie


@pytest.mark.django_db
def test_page_says_what_it_may_load_and_who_may_show_it(client: Client) -> None:
    headers = client.get("/login/").headers
    directives = (part.split() for part in headers["Content-Security-Policy"].split("; "))
    policy = {name: sources for name, *sources in directives}
    assert policy["default-src"] == ["'none'"]
    assert policy["script-src"] == ["'self'"]
    assert policy["frame-ancestors"] == policy["base-uri"] == ["'none'"]
    assert not re.search(r"unsafe|\*|https?:", headers["Content-Security-Policy"])
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert "camera=()" in headers["Permissions-Policy"]
    assert "no-store" in headers["Cache-Control"]


@pytest.mark.django_db
def test_device_pays_for_no_header_that_only_browsers_read(settings: Settings) -> None:
    settings.SECURE_HSTS_SECONDS = 31_536_000
    answer = APIClient(headers={"Authorization": "Bearer sfd_nobody"}).get("/api/v1/poll", secure=True)
    browser_only = {*PAGE_HEADERS, "Content-Security-Policy", "Permissions-Policy", "Cross-Origin-Resource-Policy"}
    assert answer.status_code == 401
    assert browser_only & set(answer.headers) == set()
    assert "Strict-Transport-Security" in APIClient().get("/api/v1/poll", secure=True).headers
