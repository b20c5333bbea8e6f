"""Logging in: stopped after too many failures, by name and by address; sessions that end, and begin anew."""

from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus

import pytest
from axes.models import AccessAttempt
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from fleet.operations.periodic import periodic_jobs, run_due
from tests.factories.people import PASSWORD, make_person

pytestmark = pytest.mark.django_db
LIMIT = 4
NEW = "another long secret of mine"


@pytest.fixture(autouse=True)
def _limit(settings: Settings) -> None:
    settings.AXES_FAILURE_LIMIT = LIMIT


def attempt(username: str, password: str = "wrong", *, address: str = "192.0.2.1", forwarded: str = "") -> int:  # noqa: S107
    """The status of a login; 302 is a success."""
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    client = Client(headers=headers, REMOTE_ADDR=address)
    answer = client.post("/login/", {"username": username, "password": password})
    return answer.status_code


def addresses() -> Callable[[], str]:
    """Another address each time."""
    numbers = iter(range(1, 250))
    return lambda: f"198.51.100.{next(numbers)}"


def test_name_is_stopped_from_every_address_even_with_the_right_password() -> None:
    make_person("viewer", "berta")
    address = addresses()
    for _ in range(LIMIT - 1):
        assert attempt("berta", address=address()) == HTTPStatus.OK
    attempt("berta", address=address())
    assert attempt("berta", PASSWORD, address=address()) == HTTPStatus.TOO_MANY_REQUESTS


def test_address_is_stopped_whichever_names_it_tries_and_others_are_not() -> None:
    make_person("viewer", "berta")
    for number in range(LIMIT):
        attempt(f"name-{number}")
    assert attempt("berta", PASSWORD) == HTTPStatus.TOO_MANY_REQUESTS
    assert attempt("berta", PASSWORD, address="192.0.2.2") == HTTPStatus.FOUND


def test_success_of_ones_own_resets_nothing() -> None:
    make_person("viewer", "berta")
    make_person("viewer", "eve")
    for _ in range(LIMIT - 1):
        attempt("berta")
        assert attempt("eve", PASSWORD, address="192.0.2.9") == HTTPStatus.FOUND
    attempt("berta")
    assert attempt("berta", PASSWORD, address="192.0.2.3") == HTTPStatus.TOO_MANY_REQUESTS


def test_it_is_over_after_its_time() -> None:
    make_person("viewer", "berta")
    for _ in range(LIMIT):
        attempt("berta")
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=16))
    assert attempt("berta", PASSWORD) == HTTPStatus.FOUND


def test_refusal_is_a_page_in_words_and_keeps_no_password() -> None:
    make_person("viewer", "berta")
    for _ in range(LIMIT):
        attempt("berta", "a-secret-guess")
    page = Client(headers={"Accept": "text/html"}, REMOTE_ADDR="192.0.2.1").post(
        "/login/", {"username": "berta", "password": "a-secret-guess"}
    )
    assert page.status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert "15 minutes" in page.content.decode()
    assert "a-secret-guess" not in repr(list(AccessAttempt.objects.values()))


def test_forwarded_address_counts_behind_a_trusted_proxy_alone(settings: Settings) -> None:
    make_person("viewer", "berta")
    for number in range(LIMIT):  # whoever is no proxy only says so
        attempt(f"name-{number}", forwarded=f"203.0.113.{number}")
    assert attempt("berta", PASSWORD, forwarded="203.0.113.99") == HTTPStatus.TOO_MANY_REQUESTS
    settings.SMALLFLEET_TRUSTED_PROXIES = ["10.0.0.0/8"]
    for number in range(LIMIT):
        attempt(f"name-{number}", address="10.0.0.1", forwarded="203.0.113.7")
    assert attempt("berta", PASSWORD, address="10.0.0.1", forwarded="203.0.113.7") == HTTPStatus.TOO_MANY_REQUESTS
    assert attempt("berta", PASSWORD, address="10.0.0.1", forwarded="203.0.113.8") == HTTPStatus.FOUND


def test_all_addresses_of_an_ipv6_network_are_one() -> None:
    make_person("viewer", "berta")
    for number in range(LIMIT):
        attempt(f"name-{number}", address=f"2001:db8::{number + 1}")
    assert attempt("berta", PASSWORD, address="2001:db8::ffff") == HTTPStatus.TOO_MANY_REQUESTS
    assert attempt("berta", PASSWORD, address="2001:db8:0:1::1") == HTTPStatus.FOUND


def logged_in(username: str) -> Client:
    client = Client()
    assert client.post("/login/", {"username": username, "password": PASSWORD})["Location"] == "/"
    return client


def test_session_is_new_at_login_ends_at_logout_and_after_its_hours() -> None:
    make_person("viewer", "berta")
    client = Client()
    client.get("/login/")
    session = client.session
    session["planted"] = "by somebody else"
    session.save()
    client.cookies["sessionid"] = planted = str(session.session_key)
    client.post("/login/", {"username": "berta", "password": PASSWORD})
    key = client.cookies["sessionid"].value
    assert key != planted
    assert not Session.objects.filter(pk=planted).exists()
    assert client.cookies["sessionid"]["max-age"] == 12 * 3600
    client.post("/logout/")
    assert not Session.objects.filter(pk=key).exists()


def test_password_is_changed_with_the_old_one_and_ends_the_other_sessions() -> None:
    make_person("viewer", "berta")
    here, elsewhere = logged_in("berta"), logged_in("berta")
    wrong = {"old_password": "wrong", "new_password1": NEW, "new_password2": NEW}
    assert here.post("/account/password/", wrong).status_code == HTTPStatus.OK
    weak = {"old_password": PASSWORD, "new_password1": "short", "new_password2": "short"}
    assert here.post("/account/password/", weak).status_code == HTTPStatus.OK
    changed = here.post("/account/password/", {**wrong, "old_password": PASSWORD})
    assert changed["Location"] == "/account/"
    assert here.get("/").status_code == HTTPStatus.OK
    assert elsewhere.get("/")["Location"].startswith("/login/")
    assert attempt("berta", NEW) == HTTPStatus.FOUND


def test_form_from_elsewhere_is_refused() -> None:
    make_person("admin", "berta")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(make_person("admin", "carla"), backend="django.contrib.auth.backends.ModelBackend")
    for address in ("/login/", "/account/", "/account/password/", "/people/", "/people/berta/deactivate/"):
        assert strict.post(address, {}).status_code == HTTPStatus.FORBIDDEN, address


def test_sessions_that_are_over_are_forgotten_by_the_worker() -> None:
    make_person("viewer", "anna")
    assert attempt("anna", PASSWORD) == attempt("anna", PASSWORD) == HTTPStatus.FOUND
    over = Session.objects.earliest("pk")
    Session.objects.filter(pk=over.pk).update(expire_date=timezone.now() - timedelta(seconds=1))
    run_due([job for job in periodic_jobs() if job.name == "forget_sessions"], 0)
    assert Session.objects.get().pk != over.pk
