"""Logging in with an identity provider: a real one, small, in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from pytest_django.fixtures import Settings

from access.models import Grant, Identity
from tests.access.oidc_provider import CLIENT_ID, CLIENT_SECRET
from tests.factories.people import PASSWORD, make_person

pytestmark = pytest.mark.django_db


@dataclass
class Provider:
    """The provider's process, and what it will say next."""

    issuer: str
    plan: Path

    def says(self, sign_with: str = "published", issuer: str = "", **claims: Any) -> None:
        """What the next ID token says, over what it says anyhow; None leaves a claim out."""
        self.plan.write_text(json.dumps({"sign_with": sign_with, "issuer": issuer, "claims": claims}))


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    plan = tmp_path_factory.mktemp("oidc") / "plan.json"
    plan.write_text("{}")
    program = Path(__file__).with_name("oidc_provider.py")
    with subprocess.Popen([sys.executable, program, plan], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout
        yield Provider(running.stdout.readline().strip(), plan)
        running.terminate()


@pytest.fixture
def provider(process: Provider, settings: Settings) -> Provider:
    from access.oidc import _registered

    _registered.cache_clear()
    settings.SMALLFLEET_OIDC_ISSUER = process.issuer
    settings.SMALLFLEET_OIDC_CLIENT_ID = CLIENT_ID
    settings.SMALLFLEET_OIDC_CLIENT_SECRET = CLIENT_SECRET
    settings.SMALLFLEET_OIDC_GRANTS = {"berlin-ops": "operator@berlin viewer", "admins": "admin"}
    process.says(preferred_username="ada", groups=["berlin-ops"])
    return process


def log_in(browser: Client, *, next_: str = "") -> Any:
    """Go to the provider and come back, as a browser does; the answer to coming back."""
    sent = browser.get("/login/provider/", {"next": next_} if next_ else {})
    assert sent.status_code == 302, sent.content
    back = httpx.get(sent["Location"])
    return browser.get(httpx.URL(back.headers["Location"]).raw_path.decode())


def test_it_is_off_unless_configured() -> None:
    assert Client().get("/login/provider/").status_code == 404
    assert Client().get("/login/provider/back/?code=x&state=y").status_code == 404
    assert "identity provider" not in Client().get("/login/").content.decode()


def test_first_login_makes_a_person_with_the_grants_of_the_claim_and_no_password(provider: Provider) -> None:
    browser = Client()
    assert "/login/provider/" in browser.get("/login/").content.decode()
    assert log_in(browser, next_="/devices/")["Location"] == "/devices/"
    person = User.objects.get(username="ada")
    assert not person.has_usable_password()
    assert {(grant.role, grant.group, grant.source) for grant in person.grants.all()} == {
        ("operator", "berlin", "provider"),
        ("viewer", "", "provider"),
    }
    assert browser.get("/devices/").status_code == 200
    assert browser.get("/account/password/").status_code == 403


def test_session_is_a_new_one_after_the_login(provider: Provider) -> None:
    browser = Client()
    browser.get("/login/provider/")
    before = browser.cookies["sessionid"].value
    log_in(browser)
    assert browser.cookies["sessionid"].value != before


def test_grants_follow_the_claim_at_each_login_and_those_of_admins_stay(provider: Provider) -> None:
    log_in(Client())
    person = User.objects.get(username="ada")
    Grant.objects.create(user=person, role="publisher", model_line="digits")
    provider.says(preferred_username="renamed", groups=["admins"])
    log_in(Client())
    assert {str(role) for role in person.grants.values_list("role", flat=True)} == {"admin", "publisher"}
    assert User.objects.get().is_superuser
    provider.says(preferred_username="ada", groups=[])
    log_in(Client())
    assert list(person.grants.values_list("role", flat=True)) == ["publisher"]
    assert not User.objects.get().is_staff


def test_whoever_gets_nothing_is_not_let_in_and_not_made(provider: Provider) -> None:
    provider.says(preferred_username="ada", groups=["others"])
    browser = Client()
    assert log_in(browser).status_code == 403
    assert not User.objects.exists()
    assert browser.get("/")["Location"].startswith("/login/")


@pytest.mark.parametrize("claims", [{"preferred_username": "berta"}, {"email": "berta", "preferred_username": "berta"}])
def test_nobody_gets_into_an_account_by_its_name_or_address(provider: Provider, claims: dict[str, str]) -> None:
    berta = make_person("admin", "berta")
    provider.says(sub="somebody-else", groups=["berlin-ops"], email_verified=True, **claims)
    browser = Client(headers={"Accept": "text/html"})
    answer = log_in(browser)
    assert answer.status_code == 403
    assert "link_identity" in answer.content.decode()
    assert "_auth_user_id" not in browser.session
    assert not Identity.objects.exists()
    assert User.objects.get() == berta


def test_person_who_is_here_is_linked_by_a_command_and_has_no_password_then(provider: Provider) -> None:
    make_person("viewer", "berta")
    call_command("link_identity", "--username", "berta", "--subject", "s-1", verbosity=0)
    browser = Client()
    assert log_in(browser)["Location"] == "/"
    assert User.objects.get(pk=browser.session["_auth_user_id"]).username == "berta"
    refused = Client().post("/login/", {"username": "berta", "password": PASSWORD})
    assert refused.status_code == 200  # the form again


def test_person_who_is_switched_off_stays_out(provider: Provider) -> None:
    log_in(Client())
    User.objects.update(is_active=False)
    browser = Client()
    assert log_in(browser).status_code == 403
    assert "_auth_user_id" not in browser.session


@pytest.mark.parametrize(
    "said",
    [
        {"sign_with": "another"},
        {"sign_with": "secret"},
        {"sign_with": "none"},
        {"sign_with": "absent"},
        {"aud": "another-client"},
        {"iss": "https://evil.example"},
        {"exp": 1_700_000_000},
        {"nonce": "of-another-login"},
        {"nonce": None},
        {"sub": None},
        {"exp": None},
    ],
    ids=str,
)
def test_id_token_that_is_not_for_this_login_lets_nobody_in(provider: Provider, said: dict[str, Any]) -> None:
    provider.says(**{"preferred_username": "ada", "groups": ["admins"], **said})
    browser = Client()
    answer = log_in(browser)
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:smallfleet:problem:login-refused")
    assert not User.objects.exists()
    assert "_auth_user_id" not in browser.session


def test_code_of_another_browser_lets_nobody_in(provider: Provider) -> None:
    """Login CSRF: the state is the session's."""
    attacker = Client()
    back = httpx.get(attacker.get("/login/provider/")["Location"]).headers["Location"]
    victim = Client()
    assert victim.get(httpx.URL(back).raw_path.decode()).status_code == 403
    assert "_auth_user_id" not in victim.session


def test_provider_that_says_no_or_is_somebody_else_or_silent_is_told_in_words(
    provider: Provider, settings: Settings
) -> None:
    from access.oidc import _registered

    assert Client().get("/login/provider/back/?error=access_denied").status_code == 403
    _registered.cache_clear()
    provider.says(issuer="https://evil.example")
    assert Client().get("/login/provider/").json()["type"] == "urn:smallfleet:problem:provider-unavailable"
    settings.SMALLFLEET_OIDC_ISSUER = "http://127.0.0.1:9"
    assert Client().get("/login/provider/").status_code == 502


def test_next_page_is_one_of_ours(provider: Provider) -> None:
    assert log_in(Client(), next_="https://evil.example/")["Location"] == "/"
