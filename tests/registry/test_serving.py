"""Serving an artifact: whole, in parts, not at all, and what is told at the end."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from registry.models import Artifact
from registry.signals import artifact_served
from registry.storage import store as current_store
from tests.factories.registry import contract_bytes, make_artifact
from tests.registry.wire import API, assert_problem

pytestmark = pytest.mark.django_db
CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def artifact(db: None) -> Artifact:
    return make_artifact(CONTENT)


@pytest.fixture
def told() -> Iterator[list[dict[str, Any]]]:
    """What the signal said."""
    heard: list[dict[str, Any]] = []

    def listen(**said: Any) -> None:
        heard.append(said)

    artifact_served.connect(listen)
    yield heard
    artifact_served.disconnect(listen)


def _get(client: APIClient, artifact: Artifact, **headers: str) -> Any:
    return client.get(f"{API}/artifacts/sha256/{artifact.sha256}", headers=headers)


def _body(response: Any) -> bytes:
    """All of it; the test client ends the response at its end."""
    return b"".join(response.streaming_content)


def _hang_up(response: Any) -> None:
    """End the response where it is, as a server does whose client is gone."""
    response._iterator.close()


def test_whole_artifact_with_headers_that_let_everybody_keep_it(viewer: APIClient, artifact: Artifact) -> None:
    response = _get(viewer, artifact)
    assert response.status_code == 200
    assert response["ETag"] == f'"{artifact.sha256}"'
    assert response["Content-Length"] == str(len(CONTENT))
    assert response["Cache-Control"] == "private, max-age=31536000, immutable"
    assert response["Accept-Ranges"] == "bytes"
    assert response["Content-Type"] == "application/octet-stream"
    assert _body(response) == CONTENT


def test_body_comes_in_small_blocks(viewer: APIClient, artifact: Artifact) -> None:
    response = _get(viewer, artifact)
    assert max(len(block) for block in response.streaming_content) <= 64 * 1024


@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=1000-", (1000, len(CONTENT))),
        ("bytes=10-19", (10, 20)),
        ("bytes=-5", (len(CONTENT) - 5, len(CONTENT))),
        ("bytes=-999999999", (0, len(CONTENT))),
        ("bytes=255999-999999999", (255_999, 256_000)),
    ],
)
def test_single_range_is_served(viewer: APIClient, artifact: Artifact, wanted: str, part: tuple[int, int]) -> None:
    response = _get(viewer, artifact, Range=wanted)
    start, end = part
    assert response.status_code == 206
    assert response["Content-Range"] == f"bytes {start}-{end - 1}/{len(CONTENT)}"
    assert response["Content-Length"] == str(end - start)
    assert _body(response) == CONTENT[start:end]


@pytest.mark.parametrize("wanted", ["bytes=0-1,5-6", "lines=1-2", "bytes=-", "bytes=9-3", "bytes=a-b", "bytes 1-2"])
def test_what_is_no_single_range_gives_the_whole(viewer: APIClient, artifact: Artifact, wanted: str) -> None:
    response = _get(viewer, artifact, Range=wanted)
    assert (response.status_code, len(_body(response))) == (200, len(CONTENT))


@pytest.mark.parametrize("wanted", ["bytes=256000-", "bytes=999999999-", "bytes=-0"])
def test_range_behind_the_end_is_416_with_the_size(viewer: APIClient, artifact: Artifact, wanted: str) -> None:
    response = _get(viewer, artifact, Range=wanted)
    assert_problem(response, 416, "range-not-satisfiable")
    assert response["Content-Range"] == f"bytes */{len(CONTENT)}"


def test_if_range_decides_between_part_and_whole(viewer: APIClient, artifact: Artifact) -> None:
    same = {"Range": "bytes=5-", "If-Range": f'"{artifact.sha256}"'}
    assert len(_body(_get(viewer, artifact, **same))) == len(CONTENT) - 5
    for other in ('"0000"', artifact.sha256, f'W/"{artifact.sha256}"', "Mon, 01 Jan 2024 00:00:00 GMT"):
        assert _body(_get(viewer, artifact, **{**same, "If-Range": other})) == CONTENT


def test_known_artifact_is_not_sent_again(viewer: APIClient, artifact: Artifact, told: list[dict[str, Any]]) -> None:
    for condition in (f'"{artifact.sha256}"', f'"0", W/"{artifact.sha256}"', "*"):
        response = _get(viewer, artifact, **{"If-None-Match": condition})
        assert (response.status_code, response.content) == (304, b"")
    assert told == []


def test_any_accept_header_will_do(viewer: APIClient, artifact: Artifact) -> None:
    assert _body(_get(viewer, artifact, Accept="application/octet-stream")) == CONTENT
    response: Any = viewer.get(f"{API}/artifacts/sha256/{'0' * 64}", headers={"Accept": "application/octet-stream"})
    assert_problem(response, 404, "not-found")


def test_head_has_the_headers_and_no_body(viewer: APIClient, artifact: Artifact, told: list[dict[str, Any]]) -> None:
    response: Any = viewer.head(f"{API}/artifacts/sha256/{artifact.sha256}")
    assert (response.status_code, response["Content-Length"], response.content) == (200, str(len(CONTENT)), b"")
    assert response["ETag"] == f'"{artifact.sha256}"'
    assert told == []


def test_end_of_a_body_is_told_with_bytes_actor_and_attempt(
    viewer: APIClient, artifact: Artifact, told: list[dict[str, Any]]
) -> None:
    attempt = uuid4()
    _body(_get(viewer, artifact, Range="bytes=100-", **{"Smallfleet-Attempt": str(attempt)}))
    (said,) = told
    assert (said["sha256"], said["bytes_sent"], said["redirected"]) == (artifact.sha256, len(CONTENT) - 100, False)
    assert said["attempt"] == attempt
    assert said["actor"].kind == "token"


def test_client_that_hangs_up_is_told_with_what_it_took(
    viewer: APIClient, artifact: Artifact, told: list[dict[str, Any]]
) -> None:
    response = _get(viewer, artifact, **{"Smallfleet-Attempt": "no uuid"})
    blocks = iter(response.streaming_content)
    next(blocks), next(blocks)
    _hang_up(response)
    (said,) = told
    assert said["bytes_sent"] == 64 * 1024  # the second block was handed over and never taken
    assert said["attempt"] is None


def test_listener_that_fails_does_not_break_the_answer(viewer: APIClient, artifact: Artifact) -> None:
    def fail(**_said: Any) -> None:
        raise RuntimeError("listener")

    artifact_served.connect(fail)
    try:
        assert _body(_get(viewer, artifact)) == CONTENT
    finally:
        artifact_served.disconnect(fail)


def test_file_that_the_store_lost_is_503(viewer: APIClient, artifact: Artifact) -> None:
    current_store().delete(artifact.sha256)
    assert_problem(_get(viewer, artifact), 503, "store-unavailable")


def test_stranger_gets_nothing(artifact: Artifact) -> None:
    assert_problem(_get(APIClient(), artifact), 401, "unauthenticated")


def test_contract_is_served_like_a_model(viewer: APIClient) -> None:
    assert _body(_get(viewer, make_artifact(contract_bytes(), "contract"))) == contract_bytes()
