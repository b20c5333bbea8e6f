"""Every error on every path is application/problem+json, and says what to do."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

import fleet.errors
import registry.errors
from access.errors import ProblemError
from access.problems import CONTENT_TYPE, body_of, problem_of
from tests.factories.people import api_as, make_person, token_of

pytestmark = pytest.mark.django_db
IMPORTED_FOR_THEIR_CLASSES = (fleet.errors, registry.errors)


def assert_problem(response: Any, status: int, slug: str) -> dict[str, Any]:
    """The one shape of an error."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == CONTENT_TYPE
    body: dict[str, Any] = json.loads(response.content)
    assert body["type"] == f"urn:smallfleet:problem:{slug}"
    assert body["status"] == status
    assert body["title"]
    return body


def _classes(base: type[ProblemError]) -> Iterator[type[ProblemError]]:
    yield base
    for child in base.__subclasses__():
        yield from _classes(child)


@pytest.mark.parametrize("error_class", sorted(set(_classes(ProblemError)), key=str))
def test_error_class_builds_prints_and_renders(error_class: type[ProblemError]) -> None:
    error = error_class("expected a, got b; send a")
    assert "expected a" in str(error)
    body = body_of(error, "/x")
    assert json.loads(json.dumps(body))["detail"] == "expected a, got b; send a"
    assert 400 <= error.status < 600
    assert problem_of(error) is error


def test_slugs_are_unique() -> None:
    slugs = [c.slug for c in set(_classes(ProblemError))]
    assert len(slugs) == len(set(slugs))


def test_unknown_url_is_a_problem() -> None:
    assert_problem(APIClient().get("/api/v1/nowhere"), 404, "not-found")


@pytest.mark.parametrize(
    "address",
    [
        "models/%00", "models/%00/costs", "groups/a%00b", "link-classes/%00", "artifacts/sha256/%00",
        "devices?model=%00", "devices?group=a%00", "rollouts?state=%00",
    ],
)  # fmt: skip
def test_nul_in_an_address_is_refused_and_no_defect(address: str) -> None:
    assert_problem(api_as("admin").get(f"/api/v1/{address}"), 400, "invalid-input")


@pytest.mark.parametrize("path", ["/", "/api/v1/whoami"])
def test_nul_in_a_cookie_is_refused_and_no_defect(path: str) -> None:
    answer = Client().get(path, headers={"cookie": 'sessionid="abcdefgh\\000"'})
    assert_problem(answer, 400, "invalid-input")


def test_unknown_url_without_api_is_a_problem_for_programs_and_a_page_for_people() -> None:
    assert_problem(Client().get("/nowhere"), 404, "not-found")
    page = Client().get("/nowhere", HTTP_ACCEPT="text/html")
    assert page.status_code == 404
    assert page["Content-Type"].startswith("text/html")


def test_wrong_method_is_a_problem_that_names_the_right_ones() -> None:
    response = api_as("admin").delete("/api/v1/whoami")
    assert_problem(response, 405, "method-not-allowed")
    assert "GET" in response["Allow"]


def test_bad_host_is_a_problem() -> None:
    assert_problem(Client().get("/api/v1/whoami", HTTP_HOST="evil.example"), 400, "invalid-input")


@pytest.mark.parametrize(
    "body", ["{", '{"name": NaN}', '{"name": "\\ud800"}', b"\xff", "[" * 100_000, '{"name": Infinity}'], ids=range(6)
)
def test_body_that_is_no_json_is_a_problem(body: Any) -> None:
    response = api_as("admin").generic("POST", "/api/v1/tokens", body, content_type="application/json")
    assert_problem(response, 400, "invalid-input")


def test_surrogate_pair_is_a_character() -> None:
    body = r'{"name": "\ud83d\ude00", "scopes": ["read"]}'
    response = api_as("admin").generic("POST", "/api/v1/tokens", body, content_type="application/json")
    assert response.json()["name"] == "\N{GRINNING FACE}"


def test_body_over_the_cap_is_a_problem(settings: Settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    response = api_as("admin").post("/api/v1/tokens", {"name": "x" * 100, "scopes": ["read"]}, format="json")
    assert_problem(response, 413, "body-too-large")


def test_wrong_fields_are_named_with_their_path() -> None:
    response = api_as("admin").post("/api/v1/tokens", {"name": "ci", "scopes": ["read", "fly"]}, format="json")
    body = assert_problem(response, 400, "invalid-input")
    assert [error["field"] for error in body["errors"]] == ["scopes.1"]


def test_defect_of_ours_is_a_problem_without_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    client = api_as("admin")
    client.raise_request_exception = False

    def broken(*args: object) -> HttpResponse:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("access.api.views.WhoamiView.get", broken)
    body = assert_problem(client.get("/api/v1/whoami"), 500, "server-error")
    assert "secret detail" not in json.dumps(body)


def _api_routes(patterns: list[URLPattern | URLResolver], prefix: str = "/") -> Iterator[str]:
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _api_routes(pattern.url_patterns, path)
        elif path.startswith("/api/"):
            yield path


# One value for every kind of placeholder in a route.
SAMPLE_VALUES = {
    "uuid": "00000000-0000-4000-8000-000000000000",
    "int": "1",
    "str": "x",
    "slug": "x",
}
# Open on purpose: a device has no credential before it enrolls, and the schema is for everybody.
OPEN_ROUTES = {"/api/v1/openapi.json", "/api/v1/enroll"}


def _filled(route: str) -> str:
    out = route
    while "<" in out:
        start, end = out.index("<"), out.index(">")
        converter = out[start + 1 : end].partition(":")[0] if ":" in out[start:end] else "str"
        out = out[:start] + SAMPLE_VALUES.get(converter, "a" * 64) + out[end + 1 :]
    return out


@pytest.mark.parametrize("route", sorted(set(_api_routes(get_resolver().url_patterns)) - OPEN_ROUTES))
def test_no_api_route_answers_a_stranger_or_a_wrong_token(route: str) -> None:
    for headers in (
        {},
        {"HTTP_AUTHORIZATION": "Bearer sft_wrong"},
        {"HTTP_AUTHORIZATION": "Bearer sfd_wrong"},
        {"HTTP_AUTHORIZATION": "Basic eDp5"},
    ):
        for method in ("get", "post", "put", "patch", "delete"):
            response = getattr(APIClient(), method)(_filled(route), **headers)
            if response.status_code != 405:
                assert_problem(response, 401, "unauthenticated")
                assert response["WWW-Authenticate"].startswith("Bearer")


def _without_table(table: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO elsewhere")


def test_missing_table_is_503_that_names_the_next_step() -> None:
    _without_table("access_apitoken")
    response = APIClient(headers={"Authorization": "Bearer sft_x"}).get("/api/v1/whoami")
    assert "smallfleet manage migrate" in assert_problem(response, 503, "not-migrated")["detail"]


def test_missing_table_is_a_page_for_people() -> None:
    _without_table("django_session")
    client = Client(headers={"Accept": "text/html"})
    client.cookies["sessionid"] = "x" * 32
    page = client.get("/")
    assert page.status_code == 503
    assert "smallfleet manage migrate" in page.content.decode()


def test_other_refusal_of_the_database_stays_a_defect() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE access_apitoken RENAME COLUMN token_sha256 TO elsewhere")
    client = APIClient(headers={"Authorization": "Bearer sft_x"}, raise_request_exception=False)
    assert_problem(client.get("/api/v1/whoami"), 500, "server-error")


@pytest.mark.parametrize("path", ["/api/v1/nowhere", "/nowhere", f"/api/v1/artifacts/sha256/{'0' * 64}", "/login/"])
def test_answer_to_head_has_the_headers_and_no_body(path: str) -> None:
    """Past Django's test client, which takes the body away itself."""
    token = token_of(make_person("viewer"))
    answers = {method: _through_wsgi(method, path, token) for method in ("GET", "HEAD")}
    (status, headers, body), (head_status, head_headers, nothing) = answers["GET"], answers["HEAD"]
    assert (head_status, nothing) == (status, b"")
    assert len(body) == int(headers["Content-Length"]) > 0
    assert head_headers["Content-Type"] == headers["Content-Type"]
    assert int(head_headers["Content-Length"]) > 0


def _through_wsgi(method: str, path: str, token: str) -> tuple[str, dict[str, str], bytes]:
    """Status, headers and body as a web server gets them."""
    started: list[tuple[str, dict[str, str]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        started.append((status, dict(headers)))

    environ = RequestFactory(headers={"Authorization": f"Bearer {token}"}).generic(method, path).environ
    # Not closed: that would end the test's own connection to the database.
    body = b"".join(WSGIHandler()(environ, start_response))
    return (*started[0], body)
