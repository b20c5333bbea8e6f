"""Clients that stop in the middle of a request, or send too much of one, against a real gunicorn with a single thread."""

import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.registry.server import Server, running_server

STALL_S = 1


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("one-thread")
    with running_server(home, SMALLFLEET_WEB_THREADS="1", SMALLFLEET_WEB_STALL_S=str(STALL_S)) as running:
        yield running


def until_closed(connection: socket.socket) -> tuple[bytes, float]:
    """What is said until the server hangs up, and after how many seconds."""
    started, said = time.monotonic(), b""
    while heard := connection.recv(65536):
        said += heard
    return said, time.monotonic() - started


@pytest.mark.parametrize(
    "start",
    [
        b"GET /login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow",
        b"POST /login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\na=",
        b"POST /api/v1/enroll HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
        b"PUT /api/v1/models/digits/metadata/1.root.json HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{",
    ],
    ids=["head", "form", "json", "metadata"],
)
def test_request_that_stops_half_way_gives_its_thread_back(server: Server, start: bytes) -> None:
    with server.socket() as stalled:
        stalled.sendall(start)
        time.sleep(0.2)  # the only thread is now with it
        answer = httpx.get(f"{server.url}/login/", timeout=20)
        assert answer.status_code == 200
        said, _waited_s = until_closed(stalled)
    assert b" 500 " not in said


def test_reader_that_stops_reading_gives_its_thread_back(server: Server) -> None:
    with server.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(b"GET /static/plotly/plotly.min.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        time.sleep(0.2)
        assert httpx.get(f"{server.url}/login/", timeout=20).status_code == 200


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /login/?" + b"a" * 8000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"414"),
        (b"GET /login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", b"4"),
        (b"GET /login/ HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: a\r\n" * 200 + b"\r\n", b"4"),
    ],
    ids=["address", "header", "headers"],
)
def test_head_that_is_too_large_is_refused(server: Server, head: bytes, status: bytes) -> None:
    with server.socket() as connection:
        connection.sendall(head)
        said, _waited_s = until_closed(connection)
    assert said.startswith(b"HTTP/1.1 " + status)
