"""One delivery over real sockets: to the checked address, by the name, in bounded time, reading a bounded answer."""

import socket
import ssl
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from fleet.webhooks.sending import ANSWER_BYTES, send
from tests.fleet.webhooks.certificates import certificate_for
from tests.fleet.webhooks.receiver import Receiver, closed_port


@pytest.fixture(autouse=True)
def _loopback_allowed(settings: Settings) -> None:
    settings.SMALLFLEET_WEBHOOK_PRIVATE_NETWORKS = ["127.0.0.0/8"]
    settings.SMALLFLEET_WEBHOOK_ALLOW_HTTP = True


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of hooks.example.test, with its key."""
    return certificate_for("hooks.example.test", tmp_path_factory.mktemp("tls"))


@pytest.fixture
def secure(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with Receiver(certificate) as running:
        yield running


def to(*addresses: str) -> Callable[[str, int], list[str]]:
    """A stand-in for the resolver."""

    def resolve(host: str, port: int) -> list[str]:
        return list(addresses)

    return resolve


def test_body_and_headers_arrive_and_the_answer_is_kept(receiver: Receiver) -> None:
    outcome = send(receiver.url, headers={"X-One": "1"}, body=b'{"a": 1}')
    (got,) = receiver.received
    assert (got.path, got.headers["X-One"], got.body) == ("/hook?key=1", "1", b'{"a": 1}')
    assert got.headers["Host"] == f"127.0.0.1:{receiver.port}"
    assert (outcome.status, outcome.answer, outcome.error) == (200, "thanks", "")
    assert 0 < outcome.latency_ns < 5e9


@pytest.mark.parametrize("status", [100 + 99, 301, 400, 404, 500, 503])
def test_other_answers_than_2xx_do_not_count(receiver: Receiver, status: int) -> None:
    receiver.status = status
    outcome = send(receiver.url, headers={}, body=b"{}")
    assert (outcome.status, outcome.error) == (status, f"the receiver answered {status}")


def test_no_redirect_is_followed(receiver: Receiver) -> None:
    with Receiver() as elsewhere:
        receiver.status, receiver.location = 307, elsewhere.url
        outcome = send(receiver.url, headers={}, body=b"{}")
    assert (outcome.status, len(receiver.received), elsewhere.received) == (307, 1, [])


def test_answer_is_read_to_its_cap(receiver: Receiver) -> None:
    receiver.answer = b"\0" + b"x" * 10_000_000
    outcome = send(receiver.url, headers={}, body=b"{}")
    assert outcome.answer == "\N{REPLACEMENT CHARACTER}" + "x" * (ANSWER_BYTES - 1)


def test_receiver_that_trickles_is_cut_off_in_time(receiver: Receiver) -> None:
    receiver.trickle_s = 0.05
    started = time.monotonic()
    outcome = send(receiver.url, headers={}, body=b"{}", timeout_s=0.5)
    assert time.monotonic() - started < 3
    assert (outcome.status, outcome.error) == (None, "no whole answer within 0.5 s")


@contextmanager
def one_answer(*blocks: bytes) -> Iterator[str]:
    """The address of a server that answers one request with these bytes, whatever HTTP says to that."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):  # whoever asked has heard enough
                connection.recv(65_536)
                for block in blocks:
                    connection.sendall(block)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        thread.join()


@pytest.mark.parametrize("line", [b"\0no HTTP\r\n", b"HTTP/9\0 200 OK\r\n\r\n"])
def test_error_can_be_stored_whatever_the_other_side_says(line: bytes) -> None:
    with one_answer(line) as url:
        outcome = send(url, headers={}, body=b"{}")
    assert outcome.error
    assert "\0" not in outcome.error


def test_chunk_of_a_negative_size_is_not_read_to_the_end() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n"
    tracemalloc.start()
    try:
        with one_answer(head, *[b"x" * 1_000_000] * 50) as url:
            outcome = send(url, headers={}, body=b"{}")
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(outcome.answer) <= ANSWER_BYTES
    assert most < 5_000_000


def test_chunks_are_put_together() -> None:
    body = b"4\r\nthan\r\n2\r\nks\r\n0\r\n\r\n"
    with one_answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body) as url:
        outcome = send(url, headers={}, body=b"{}")
    assert (outcome.answer, outcome.error) == ("thanks", "")


def test_nobody_there_is_said() -> None:
    outcome = send(f"http://127.0.0.1:{closed_port()}/", headers={}, body=b"{}")
    assert outcome.status is None
    assert "refused" in outcome.error.lower()


def test_name_without_address_is_said() -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise OSError("Name or service not known")

    assert (
        send("http://hooks.example.test/", headers={}, body=b"{}", resolve=unknown).error == "Name or service not known"
    )


def test_proxy_of_the_environment_is_not_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    assert send(receiver.url, headers={}, body=b"{}").status == 200


def test_connection_goes_to_the_checked_address_with_the_names_host_sni_and_certificate(secure: Receiver) -> None:
    url = f"https://hooks.example.test:{secure.port}/x"
    outcome = send(url, headers={}, body=b"{}", resolve=to("127.0.0.1"))
    assert (outcome.status, outcome.error) == (200, "")
    assert secure.received[0].headers["Host"] == f"hooks.example.test:{secure.port}"
    assert secure.received[0].server_name == "hooks.example.test"


def test_certificate_of_another_name_is_refused(secure: Receiver) -> None:
    outcome = send(f"https://other.example.test:{secure.port}/", headers={}, body=b"{}", resolve=to("127.0.0.1"))
    assert outcome.status is None
    assert "certificate" in outcome.error.lower()
    assert secure.received == []


def test_certificate_that_nobody_vouches_for_is_refused(secure: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    outcome = send(f"https://hooks.example.test:{secure.port}/", headers={}, body=b"{}", resolve=to("127.0.0.1"))
    assert "self-signed" in outcome.error or "self signed" in outcome.error


def test_name_that_leads_elsewhere_a_moment_later_is_looked_up_once(receiver: Receiver) -> None:
    """DNS rebinding: allowed when it is checked, and something inside when it would be looked up again."""
    asked: list[str] = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    assert send(f"http://rebind.example.test:{receiver.port}/", headers={}, body=b"{}", resolve=rebinding).status == 200
    assert asked == ["rebind.example.test"]


@pytest.mark.parametrize(
    "addresses", [["10.0.0.1"], ["127.0.0.1", "10.0.0.1"], ["127.0.0.1", "::1"], ["127.0.0.1", "169.254.169.254"]]
)
def test_name_with_any_address_inside_gets_no_connection_at_all(receiver: Receiver, addresses: list[str]) -> None:
    url = f"http://hooks.example.test:{receiver.port}/"
    outcome = send(url, headers={}, body=b"{}", resolve=to(*addresses))
    assert "is not of the public internet" in outcome.error
    assert (outcome.status, receiver.received) == (None, [])


def test_next_address_is_tried_where_the_first_does_not_answer(receiver: Receiver) -> None:
    url = f"http://hooks.example.test:{receiver.port}/"
    assert send(url, headers={}, body=b"{}", resolve=to("127.0.0.9", "127.0.0.1")).status == 200


def test_loopback_is_refused_without_the_setting(receiver: Receiver, settings: Settings) -> None:
    settings.SMALLFLEET_WEBHOOK_PRIVATE_NETWORKS = []
    outcome = send(receiver.url, headers={}, body=b"{}")
    assert "127.0.0.1 is not of the public internet" in outcome.error
    assert receiver.received == []


def test_server_that_speaks_no_http_is_said(receiver: Receiver) -> None:
    outcome = send(f"https://127.0.0.1:{receiver.port}/", headers={}, body=b"{}")
    assert outcome.status is None
    assert outcome.error
    assert ssl.OPENSSL_VERSION  # the reason's words are OpenSSL's, so they are not compared
