"""Transfers that are cut, wrong, endless, slow or redirected."""

import functools
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import agent.download
from agent import disk
from agent.download import download
from agent.errors import RedirectRefused, RequestRefused, ServerUnavailable, TooSlow, TransferRejected
from agent.http import Client
from agent.wire import Blob
from tests.agent.device import MODEL, Device, entry
from tests.agent.models import release
from tests.agent.standin import CREDENTIAL, Handler, StandIn, sha256, stand_in

OLD = release(1)
CONTENT = random.Random(7).randbytes(300_000)  # noqa: S311 - not for secrets; repeatable by the seed of the run


@pytest.fixture
def other() -> Iterator[StandIn]:
    """Another origin: an object store."""
    with stand_in() as running:
        yield running


def fetch(device: Device, server: StandIn, content: bytes = CONTENT, **options: float) -> Client:
    """Download one artifact with a client of its own; the client, for its counts."""
    device.layout.prepare((MODEL,))
    client = Client(server.url, CREDENTIAL, timeout_s=options.pop("timeout_s", 5.0))
    blob = Blob(sha256(content), len(content))
    rate = int(options.pop("rate", 0)) or None
    try:
        download(client, device.layout, blob, attempt="a", rate_limit_bytes_per_s=rate)
    finally:
        client.close()
    return client


def test_transfer_cut_at_random_bytes_is_continued_by_range(device: Device, server: StandIn) -> None:
    server.add(CONTENT)
    cuts = [random.randrange(1, 60_000) for _ in range(4)]  # noqa: S311 - not for secrets; repeatable by the seed of the run
    server.misbehave.extend(functools.partial(Handler.send_range, most=cut) for cut in cuts)
    fetch(device, server)
    assert device.layout.downloaded(sha256(CONTENT)).read_bytes() == CONTENT
    starts = [seen.headers.get("range", "bytes=0-") for seen in server.requests("GET", "artifacts/")]
    assert starts == [f"bytes={sum(cuts[:index])}-" for index in range(5)]
    assert {seen.headers.get("if-range") for seen in server.requests("GET", "artifacts/")[1:]} == {
        f'"{sha256(CONTENT)}"'
    }


def test_link_that_brings_nothing_is_not_asked_again_at_once(device: Device, server: StandIn) -> None:
    server.add(CONTENT)
    server.misbehave.extend([lambda handler, content: handler.send_range(content, most=0)] * 3)
    with pytest.raises(ServerUnavailable):
        fetch(device, server)
    assert len(server.seen) == 1


def wrong_length(handler: Handler, content: bytes) -> None:
    handler.answer(200, content + b"more")


def short_length(handler: Handler, content: bytes) -> None:
    handler.answer(200, content[:-1])


def wrong_range(handler: Handler, content: bytes) -> None:
    handler.answer(206, content[5:], Content_Range=f"bytes 5-{len(content) - 1}/{len(content)}")


def other_bytes(handler: Handler, content: bytes) -> None:
    handler.answer(200, bytes(len(content)))


def endless(handler: Handler, content: bytes) -> None:
    """A chunked body without an end; gives up when the agent hangs up."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    try:
        for _ in range(10_000):
            handler.wfile.write(b"10000\r\n" + bytes(1 << 16) + b"\r\n")
    except OSError:
        handler.close_connection = True


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (wrong_length, "wrong-length"),
        (short_length, "wrong-length"),
        (wrong_range, "wrong-length"),
        (endless, "wrong-length"),
        (other_bytes, "wrong-digest"),
    ],
)
def test_bytes_that_were_not_announced_are_refused_and_removed(
    device: Device, server: StandIn, answer: object, reason: str
) -> None:
    server.add(CONTENT)
    server.misbehave.append(answer)  # type: ignore[arg-type]
    with pytest.raises(TransferRejected) as caught:
        fetch(device, server)
    assert caught.value.reason == reason
    assert list(device.layout.downloads.iterdir()) == []


def test_endless_body_is_cut_at_the_announced_size(device: Device, server: StandIn) -> None:
    server.add(CONTENT)
    server.misbehave.append(endless)
    device.layout.prepare((MODEL,))
    client = Client(server.url, CREDENTIAL)
    with pytest.raises(TransferRejected):
        download(client, device.layout, Blob(sha256(CONTENT), len(CONTENT)), attempt="a")
    assert client.counted().received < len(CONTENT) + 3 * (1 << 16)


def test_part_that_the_server_cannot_continue_is_fetched_from_the_start(device: Device, server: StandIn) -> None:
    server.add(CONTENT)
    device.layout.prepare((MODEL,))
    device.layout.part(sha256(CONTENT)).write_bytes(CONTENT[:1000])
    server.misbehave.append(lambda handler, _content: handler.answer(416))
    with pytest.raises(ServerUnavailable):
        fetch(device, server)
    fetch(device, server)
    assert device.layout.downloaded(sha256(CONTENT)).read_bytes() == CONTENT


def test_range_that_is_ignored_starts_again(device: Device, server: StandIn) -> None:
    server.add(CONTENT)
    device.layout.prepare((MODEL,))
    device.layout.part(sha256(CONTENT)).write_bytes(b"x" * 1000)
    server.misbehave.append(lambda handler, content: handler.answer(200, content))
    fetch(device, server)
    assert device.layout.downloaded(sha256(CONTENT)).read_bytes() == CONTENT


def test_damaged_part_costs_one_more_transfer_and_never_a_wrong_file(device: Device, server: StandIn) -> None:
    server.add(CONTENT)
    device.layout.prepare((MODEL,))
    device.layout.part(sha256(CONTENT)).write_bytes(b"x" * 1000)
    with pytest.raises(TransferRejected):
        fetch(device, server)
    fetch(device, server)
    assert device.layout.downloaded(sha256(CONTENT)).read_bytes() == CONTENT


def test_silent_server_is_given_up(device: Device, server: StandIn) -> None:
    server.add(CONTENT)
    server.misbehave.append(lambda _handler, _content: time.sleep(1.0))
    with pytest.raises(ServerUnavailable):
        fetch(device, server, timeout_s=0.2)


def test_slow_loris_meets_the_deadline(server: StandIn) -> None:
    def drip(handler: Handler, _content: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(40):
            handler.wfile.write(b"x")
            time.sleep(0.05)

    server.add(CONTENT)
    server.misbehave.append(drip)
    client = Client(server.url, CREDENTIAL, timeout_s=5)
    path = f"artifacts/sha256/{sha256(CONTENT)}"
    with pytest.raises(TooSlow), client.open("GET", path, {}, seconds=0.3) as response:
        response.read()


def test_rate_limit_paces_the_transfer(device: Device, server: StandIn) -> None:
    server.add(CONTENT)
    slept: list[float] = []
    device.layout.prepare((MODEL,))
    client = Client(server.url, CREDENTIAL)
    blob = Blob(sha256(CONTENT), len(CONTENT))
    download(client, device.layout, blob, attempt="a", rate_limit_bytes_per_s=100_000, sleep=slept.append)
    client.close()
    assert max(slept) > 2, "three seconds' worth of bytes; the pauses are only noted here"


def test_long_transfer_is_made_durable_on_the_way(
    device: Device, server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.add(CONTENT)
    monkeypatch.setattr(agent.download, "SYNC_EVERY_S", 0.0)
    device.layout.prepare((MODEL,))
    disk.inject(f"trace@{tmp_path / 'trace'}")
    fetch(device, server)
    points = (tmp_path / "trace").read_text().splitlines()
    part = f"{sha256(CONTENT)}.part"
    appended, synced = points.count(f"append {part}"), points.count(f"fsync {part}")
    assert (appended >= 5, synced) == (True, appended + 1)


def test_redirect_to_another_host_leaves_the_identity_behind(device: Device, server: StandIn, other: StandIn) -> None:
    server.add(CONTENT)
    target = f"{other.url}/api/v1/store?signature=x"
    device.layout.prepare((MODEL,))
    device.layout.part(sha256(CONTENT)).write_bytes(CONTENT[:1000])
    server.misbehave.append(lambda handler, _content: handler.answer(307, Location=target))
    # The other origin knows no credential and answers 401: what arrived there is what matters.
    with pytest.raises(RequestRefused):
        fetch(device, server)
    [arrived] = other.seen
    assert arrived.path.endswith("/store?signature=x")
    assert not {"authorization", "smallfleet-attempt", "if-range", "if-none-match"} & set(arrived.headers)
    assert arrived.headers["range"] == "bytes=1000-"


def test_redirect_on_the_same_host_keeps_the_identity(device: Device, server: StandIn) -> None:
    server.add(CONTENT)
    server.misbehave.append(
        lambda handler, _content: handler.answer(302, Location=f"/api/v1/artifacts/sha256/{sha256(CONTENT)}")
    )
    fetch(device, server)
    assert [seen.headers["smallfleet-attempt"] for seen in server.seen] == ["a", "a"]


@pytest.mark.parametrize(
    "location",
    ["http://192.0.2.1/x", "ftp://127.0.0.1/x", "file:///etc/passwd", "//[bad", "http://127.0.0.1:99999/", "/\xe9"],
)
def test_redirect_to_where_it_must_not_go_is_refused(device: Device, server: StandIn, location: str) -> None:
    server.add(CONTENT)
    server.misbehave.append(lambda handler, _content: handler.answer(307, Location=location))
    with pytest.raises(RedirectRefused):
        fetch(device, server)


def test_redirect_to_a_name_that_cannot_be_one_is_an_error_of_the_server(device: Device, server: StandIn) -> None:
    server.add(CONTENT)
    server.misbehave.append(lambda handler, _content: handler.answer(307, Location="https://a..b/"))
    with pytest.raises(ServerUnavailable):
        fetch(device, server)


def test_circle_of_redirects_ends(device: Device, server: StandIn) -> None:
    server.add(CONTENT)
    path = f"/api/v1/artifacts/sha256/{sha256(CONTENT)}"
    server.misbehave.extend([lambda handler, _content: handler.answer(307, Location=path)] * 10)
    with pytest.raises(RedirectRefused):
        fetch(device, server)
    assert len(server.seen) == 6


def test_transfer_that_failed_is_told_with_its_bytes_and_goes_on_next_time(device: Device, server: StandIn) -> None:
    server.entries = [entry(server, OLD, with_samples=False)]
    server.misbehave.append(lambda handler, content: handler.answer(200, content))  # the contract
    server.misbehave.append(lambda handler, content: handler.send_range(content, most=3000))
    server.misbehave.append(lambda handler, _content: handler.problem(503, "busy"))
    assert device.cycle().exit_code == 6
    device.cycle()
    assert device.served() == OLD.model
    first, second = (one for one in server.details("transferred") if one["way"] == "raw")
    assert (first["complete"], second["complete"]) == (False, True)
    assert first["bytes_received"] > 3000
    assert second["bytes_received"] < len(OLD.model)
    assert len({attempt for attempt, _seq in server.events}) == 1


@pytest.mark.parametrize(
    ("status", "exit_code", "kinds"),
    [(404, 7, ["started", "transferred", "transferred", "failed"]), (500, 6, []), (429, 6, []), (401, 5, [])],
)
def test_artifact_that_is_not_given(
    device: Device, server: StandIn, status: int, exit_code: int, kinds: list[str]
) -> None:
    wanted = entry(server, OLD, with_samples=False)
    server.entries = [wanted]
    server.problems[f"artifacts/sha256/{wanted['target']['sha256']}"] = (status, "no")
    assert device.cycle().exit_code == exit_code
    assert device.current() is None
    if kinds:
        assert server.kinds() == kinds
        assert server.details("failed")[0]["reason"] == "no"
