"""The REST client against a real HTTP server on loopback."""

import contextlib
import hashlib
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from client.errors import ConfigError, LocalFileError, Refused, ServerError
from client.progress import Advance, no_progress
from client.rest import RestClient
from tests.client.stand_in import Answer, StandIn, answer_json, problem

CONTENT = b"a small model" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ARTIFACT = f"/api/v1/artifacts/sha256/{SHA256}"


def test_request_carries_token_and_version(server: StandIn, rest: RestClient) -> None:
    server.script("GET", "/api/v1/whoami", answer_json({"name": "ci"}))
    assert rest.get("whoami") == {"name": "ci"}
    assert server.asked[0].headers["Authorization"] == "Bearer sft_secret"
    assert server.asked[0].headers["User-Agent"].startswith("smallfleet/0.")


def test_refusal_carries_every_part_of_the_problem(server: StandIn, rest: RestClient) -> None:
    errors = [{"field": "version", "message": "not semantic"}]
    server.script(
        "PUT", "/api/v1/models/m/versions/x", problem(400, "invalid-input", detail="bad\nshape", errors=errors)
    )
    with pytest.raises(Refused) as caught:
        rest.put("models/m/versions/x", {})
    refused = caught.value
    assert (refused.type, refused.status) == ("urn:smallfleet:problem:invalid-input", 400)
    assert refused.errors == (("version", "not semantic"),)
    assert str(refused) == "invalid input: bad shape; version: not semantic (400, urn:smallfleet:problem:invalid-input)"


def test_refusal_without_a_problem_document_says_what_the_status_says(server: StandIn, rest: RestClient) -> None:
    server.script("GET", "/api/v1/models", Answer(403, b"<h1>proxy</h1>", {"Content-Type": "text/html"}))
    with pytest.raises(Refused, match=r"Forbidden \(403, about:blank\)"):
        rest.get("models")


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_transient_answer_is_asked_again_with_growing_pauses(
    server: StandIn, rest: RestClient, pauses: list[float], status: int
) -> None:
    server.script(
        "GET", "/api/v1/models", problem(status, "later"), problem(status, "later"), answer_json({"count": 0})
    )
    assert rest.get("models") == {"count": 0}
    assert len(server.asked) == 3
    assert 0.3 < pauses[0] < pauses[1] < 1.3


def test_transient_answer_that_stays_is_a_server_error_after_four_tries(server: StandIn, rest: RestClient) -> None:
    server.script("GET", "/api/v1/models", problem(503, "inspection-failed", detail="no memory"))
    with pytest.raises(ServerError, match=r"inspection failed: no memory \(503"):
        rest.get("models")
    assert len(server.asked) == 4


def test_retry_after_in_seconds_and_as_a_date_is_honoured(
    server: StandIn, rest: RestClient, pauses: list[float]
) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    server.script(
        "GET",
        "/api/v1/models",
        Answer(429, headers={"Retry-After": "7"}),
        Answer(503, headers={"Retry-After": date}),
        Answer(503, headers={"Retry-After": "soon"}),
        answer_json({}),
    )
    rest.get("models")
    assert pauses[0] == 7
    assert 17 < pauses[1] <= 20
    assert pauses[2] < 3


def test_retry_after_of_hours_is_reported_and_not_waited_for(
    server: StandIn, rest: RestClient, pauses: list[float]
) -> None:
    server.script("GET", "/api/v1/models", Answer(503, headers={"Retry-After": "7200"}))
    with pytest.raises(ServerError):
        rest.get("models")
    assert not pauses


def test_lost_connection_is_tried_again_when_harmless(server: StandIn, rest: RestClient) -> None:
    server.script("PUT", "/api/v1/models/m/versions/1.0.0", Answer(drop=True), answer_json({"state": "draft"}, 201))
    assert rest.put("models/m/versions/1.0.0", {"a": 1}) == ({"state": "draft"}, True)
    assert [asked.json() for asked in server.asked] == [{"a": 1}, {"a": 1}]


def test_lost_connection_of_a_post_is_not_repeated_unless_the_caller_says_so(server: StandIn, rest: RestClient) -> None:
    server.script("POST", "/api/v1/rollouts", Answer(drop=True))
    with pytest.raises(ServerError, match="cannot reach"):
        rest.post("rollouts", {})
    assert len(server.asked) == 1
    server.script("POST", "/api/v1/models", Answer(drop=True), answer_json({"name": "m"}))
    assert rest.post("models", {}, idempotent=True) == {"name": "m"}


def test_patch_is_not_repeated(server: StandIn, rest: RestClient) -> None:
    server.script("PATCH", "/api/v1/devices/d", Answer(503), answer_json({}))
    with pytest.raises(ServerError):
        rest.patch("devices/d", {"name": "x"})
    assert len(server.asked) == 1


def test_nobody_listening_is_a_server_error_with_the_address(pauses: list[float]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with RestClient(url, sleep=pauses.append) as rest, pytest.raises(ServerError, match=f"cannot reach {url}"):
            rest.post("models", {})
    # A connection that never came about carried nothing: also a POST may be tried again.
    assert len(pauses) == 3


def test_html_instead_of_json_asks_whether_this_is_the_right_server(server: StandIn, rest: RestClient) -> None:
    server.script("GET", "/api/v1/models", Answer(200, b"<html>", {"Content-Type": "text/html"}))
    with pytest.raises(ServerError, match="is this a Smallfleet server"):
        rest.get("models")


def test_json_that_is_no_object_is_a_server_error(server: StandIn, rest: RestClient) -> None:
    server.script("GET", "/api/v1/models", answer_json([1]))
    with pytest.raises(ServerError, match="expected an object"):
        rest.get("models")


def test_address_that_is_none_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="no address"):
        RestClient("http://host:port")


def test_every_page_of_a_list_is_read_from_our_own_server(server: StandIn, rest: RestClient) -> None:
    elsewhere = "http://198.51.100.1/api/v1/devices"
    server.script(
        "GET",
        "/api/v1/devices",
        answer_json({"count": 3, "next": elsewhere, "results": [{"id": 1}, {"id": 2}]}),
        answer_json({"count": 3, "next": None, "results": [{"id": 3}]}),
    )
    assert [row["id"] for row in rest.pages("devices", group="g")] == [1, 2, 3]
    assert [asked.path for asked in server.asked] == [
        "/api/v1/devices?group=g&limit=100&offset=0",
        "/api/v1/devices?group=g&limit=100&offset=2",
    ]


def test_list_that_shrinks_while_it_is_read_ends(server: StandIn, rest: RestClient) -> None:
    server.script("GET", "/api/v1/devices", answer_json({"count": 5, "results": []}))
    assert list(rest.pages("devices")) == []


def test_missing_thing_is_found_to_be_none(server: StandIn, rest: RestClient) -> None:
    assert rest.find("models/none") is None
    server.script("GET", "/api/v1/models/secret", problem(403, "permission-refused"))
    with pytest.raises(Refused):
        rest.find("models/secret")


def test_api_call_follows_no_redirect(server: StandIn, rest: RestClient) -> None:
    with StandIn() as other:
        server.script("GET", "/api/v1/models", Answer(302, headers={"Location": f"{other.url}/api/v1/models"}))
        with pytest.raises(ServerError, match=f"redirects to {other.url}"):
            rest.get("models")
        assert other.asked == []


def test_upload_streams_the_file_with_its_length(server: StandIn, rest: RestClient, tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(CONTENT)
    server.script("PUT", ARTIFACT, answer_json({"sha256": SHA256}, 201))
    assert rest.upload(file, sha256=SHA256, kind="model") == {"sha256": SHA256}
    asked = server.asked[0]
    assert asked.path.endswith("?kind=model")
    assert asked.headers["Content-Length"] == str(len(CONTENT))
    assert asked.headers["Transfer-Encoding"] is None
    assert asked.body == CONTENT


def test_upload_is_sent_again_from_its_beginning(server: StandIn, rest: RestClient, tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(CONTENT)
    server.script("PUT", ARTIFACT, Answer(drop=True), answer_json({}, 201))
    rest.upload(file, sha256=SHA256, kind="model")
    assert [asked.body for asked in server.asked] == [CONTENT, CONTENT]


@pytest.mark.parametrize("other", [CONTENT[:100], CONTENT + b"more"])
def test_file_that_changes_while_it_is_sent_is_a_local_problem(rest: RestClient, tmp_path: Path, other: bytes) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(CONTENT)

    @contextlib.contextmanager
    def meddling(label: str, total: int) -> Iterator[Advance]:
        """A display during which somebody writes the file."""
        file.write_bytes(other)
        with no_progress(label, total) as advance:
            yield advance

    with pytest.raises(LocalFileError, match="changed while it was sent"):
        rest.upload(file, sha256=SHA256, kind="model", progress=meddling)


@pytest.mark.parametrize(("answer", "held"), [(Answer(200), True), (Answer(307), True), (Answer(404), False)])
def test_artifact_is_held_when_it_is_there_or_in_an_object_store(
    server: StandIn, rest: RestClient, answer: Answer, *, held: bool
) -> None:
    server.script("HEAD", ARTIFACT, answer)
    assert rest.has_artifact(SHA256) is held


def test_unanswerable_question_for_an_artifact_is_refused(server: StandIn, rest: RestClient) -> None:
    server.script("HEAD", ARTIFACT, Answer(401))
    with pytest.raises(Refused, match="401"):
        rest.has_artifact(SHA256)


def test_download_arrives_verified(server: StandIn, rest: RestClient, tmp_path: Path) -> None:
    server.script("GET", ARTIFACT, Answer(200, CONTENT))
    assert rest.download(SHA256, tmp_path / "got") == len(CONTENT)
    assert (tmp_path / "got").read_bytes() == CONTENT


def test_download_of_other_bytes_is_refused_and_leaves_nothing(
    server: StandIn, rest: RestClient, tmp_path: Path
) -> None:
    server.script("GET", ARTIFACT, Answer(200, b"something else"))
    with pytest.raises(ServerError, match=f"expected sha256 {SHA256}"):
        rest.download(SHA256, tmp_path / "got")
    assert not list(tmp_path.iterdir())


def test_cut_download_is_begun_again(server: StandIn, rest: RestClient, tmp_path: Path) -> None:
    short = Answer(200, CONTENT[:500], {"Content-Length": str(len(CONTENT)), "Connection": "close"})
    server.script("GET", ARTIFACT, short, Answer(200, CONTENT))
    rest.download(SHA256, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == CONTENT


def test_refused_download_is_a_refusal(server: StandIn, rest: RestClient, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="not found"):
        rest.download(SHA256, tmp_path / "got")
    assert not list(tmp_path.iterdir())


def test_token_does_not_cross_hosts_on_a_redirected_download(server: StandIn, rest: RestClient, tmp_path: Path) -> None:
    with StandIn() as store:
        store.script("GET", "/bucket/object", Answer(200, CONTENT))
        server.script("GET", ARTIFACT, Answer(307, headers={"Location": f"{store.url}/bucket/object"}))
        rest.download(SHA256, tmp_path / "got")
        assert server.asked[0].headers["Authorization"] == "Bearer sft_secret"
        assert store.asked[0].headers["Authorization"] is None
        assert (tmp_path / "got").read_bytes() == CONTENT


def test_studies_are_put_fetched_and_listed(server: StandIn, rest: RestClient) -> None:
    document = {"schema": "smallfleet-study/1", "name": "widths", "points": []}
    server.script("PUT", "/api/v1/models/digits/studies/widths", answer_json({"name": "widths"}, 201), answer_json({}))
    server.script("GET", "/api/v1/models/digits/studies/widths", answer_json({"document": document}))
    page = {"count": 1, "results": [{"name": "widths", "point_count": 0}]}
    server.script("GET", "/api/v1/models/digits/studies", answer_json(page))
    assert rest.put_study("digits", document) is True
    assert server.asked[0].json() == document
    assert rest.put_study("digits", document) is False
    assert rest.get_study("digits", "widths")["document"] == document
    assert list(rest.list_studies("digits")) == page["results"]
