"""HTTP as servers send it, well and badly: real sockets, bytes as they are on the wire."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from agent.connection import MAX_HEAD_BYTES, Connection, Meter
from agent.errors import ServerUnavailable, TooSlow


@contextmanager
def answering(content: bytes, *, then_wait_s: float = 0.0) -> Iterator[int]:
    """A server that sends these bytes to whoever asks, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(65536)
                try:
                    peer.sendall(content)
                    time.sleep(then_wait_s)
                except OSError:
                    return  # the client refused the rest

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join()


def body_of(content: bytes, *, most: int = -1) -> bytes:
    """What the client reads of a response that is made of these bytes."""
    with answering(content) as port:
        connection = Connection("127.0.0.1", port, Meter(5.0))
        try:
            return connection.request("GET", "/", {"Host": "x"}).read(most)
        finally:
            connection.close()


@pytest.mark.parametrize(
    ("content", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more", b"hello"),
        (b"HTTP/1.1 200\r\nContent-Length:5\r\n\r\nhello", b"hello"),
        (b"HTTP/1.0 200 OK\r\n\r\nto the end", b"to the end"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n", b"hello"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\nA\r\n0123456789\r\n0\r\nX-Late: 1\r\n\r\n",
            b"0123456789",
        ),
        (b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", b"x"),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 200 OK\r\nX-Name: caf\xe9 \r\nContent-Length: 0\r\n\r\n", b""),
    ],
)
def test_response_is_read_to_its_end(content: bytes, body: bytes) -> None:
    assert body_of(content) == body


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", "4 bytes early"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9", "ended early"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "no status line"),
        (b"HTTP/2 200 OK\r\n\r\n", "no status line"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "no length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "no length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "in two ways"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "unknown"),
        (b"HTTP/1.1 200 OK\r\nX: 1\r\n folded\r\n\r\n", "no header"),
        (b"HTTP/1.1 200 OK\r\nX : 1\r\n\r\n", "no header"),
        (b"HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n", "no header"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\n", "no size"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n", "longer than it says"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello", "middle of a chunk"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 5000, "not framed"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 101 + b"\r\n", "more than 100 headers"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_HEAD_BYTES, "longer than"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 20, "interim"),
    ],
)
def test_response_that_breaks_the_protocol_is_a_fault_of_the_server(content: bytes, why: str) -> None:
    with pytest.raises(ServerUnavailable, match=why):
        body_of(content)


def test_connection_that_is_closed_without_an_answer_may_be_tried_again() -> None:
    with pytest.raises(ConnectionResetError):
        body_of(b"")


@pytest.mark.parametrize("header", ["line\r\nAuthorization: stolen", "caf\u00e9", "nul\0"])
def test_request_with_what_no_header_may_hold_is_not_sent(header: str) -> None:
    with answering(b"") as port:
        connection = Connection("127.0.0.1", port, Meter(5.0))
        with pytest.raises(ServerUnavailable, match="was not sent"):
            connection.request("GET", "/", {"Authorization": header})
        connection.close()


def test_endless_body_is_read_no_further_than_asked() -> None:
    assert body_of(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(1 << 20), most=100) == bytes(100)


@pytest.mark.parametrize("extension", [b"", b";" + b"x" * 1000])
def test_chunks_of_hardly_anything_cost_little(extension: bytes) -> None:
    meter, tiny = Meter(5.0), b"1" + extension + b"\r\nx\r\n"
    with answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + tiny * 20_000) as port:
        connection = Connection("127.0.0.1", port, meter)
        with pytest.raises(ServerUnavailable, match="hardly anything"):
            connection.request("GET", "/", {"Host": "x"}).read()
        connection.close()
    assert meter.received < 1 << 16


@pytest.mark.parametrize(("more", "usable"), [(b"", True), (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", False)])
def test_connection_on_which_more_comes_than_was_asked_for_is_not_used_again(more: bytes, *, usable: bool) -> None:
    with answering(b"HTTP/1.1 304 Not Modified\r\n\r\n" + more) as port:
        connection = Connection("127.0.0.1", port, Meter(5.0))
        assert connection.request("GET", "/", {"Host": "x"}).leaves_connection_usable is usable
        connection.close()


def test_name_of_many_silent_addresses_meets_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, socket.socket() as filling:
        port = listener.getsockname()[1]
        filling.connect(("127.0.0.1", port))
        found = socket.getaddrinfo("127.0.0.1", port, type=socket.SOCK_STREAM)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_name, **_kind: found * 20)
        with pytest.raises(TooSlow):
            Connection("127.0.0.1", port, Meter(0.1, deadline_at=time.monotonic() + 0.5))


def test_every_byte_above_tls_is_counted() -> None:
    content = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    meter = Meter(5.0)
    with answering(content) as port:
        connection = Connection("127.0.0.1", port, meter)
        connection.request("GET", "/x", {"Host": "a"}, b"body").read()
        connection.close()
    assert meter.sent == len(b"GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody")
    assert (meter.received, meter.requests) == (len(content), 1)


def test_server_that_says_nothing_meets_the_deadline() -> None:
    meter = Meter(5.0, deadline_at=time.monotonic() + 0.2)
    with answering(b"HTTP/1.1 200 OK\r\n", then_wait_s=0.5) as port:
        connection = Connection("127.0.0.1", port, meter)
        with pytest.raises(TooSlow):
            connection.request("GET", "/", {"Host": "x"})
        connection.close()
