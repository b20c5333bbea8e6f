"""Uploads to a real gunicorn: its memory, connections that are cut, a disk that is full, many at once."""

import json
import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.factories.registry import contract_bytes, digest, onnx_model
from tests.registry.memory import ChildrensPeak, peak_bytes, reset_peak
from tests.registry.server import Server, running_server

log = logging.getLogger(__name__)
MIB = 1024**2
LARGE_BYTES = 100_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def small_disk_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Its store has room for 2 MiB."""
    with running_server(tmp_path_factory.mktemp("small-disk"), disk_bytes=2 * MIB) as running:
        yield running


@pytest.fixture
def large_model(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A valid ONNX of 100 MB of weights that do not compress, another one for each test."""
    path = tmp_path / "large.onnx"
    rows = LARGE_BYTES // 4 // 1024 // 8
    rng = np.random.default_rng(0)
    nodes, weights, name = [], [], "image"
    for layer in range(8):
        shape = (rows, 1024) if layer % 2 else (1024, rows)
        weights.append(numpy_helper.from_array(rng.random(shape, np.float32), f"w{layer}"))
        nodes.append(helper.make_node("MatMul", [name, f"w{layer}"], [f"h{layer}"]))
        name = f"h{layer}"
    ports = [helper.make_tensor_value_info(port, TensorProto.FLOAT, ["N", 1024]) for port in ("image", name)]
    graph = helper.make_graph(nodes, request.node.name, ports[:1], ports[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def _put_file(server: Server, path: Path) -> Any:
    with server.client() as client, path.open("rb") as file:
        return client.put(
            f"/artifacts/sha256/{digest(path.read_bytes())}?kind=model",
            content=iter(lambda: file.read(MIB), b""),
            headers={"Content-Length": str(path.stat().st_size)},
        )


def _put(server: Server, content: bytes, kind: str = "model", sha256: str | None = None) -> Any:
    with server.client() as client:
        return client.put(f"/artifacts/sha256/{sha256 or digest(content)}?kind={kind}", content=content)


def _slug(response: Any) -> str:
    assert response.headers["content-type"] == "application/problem+json", response.text
    assert response.json()["detail"]
    return str(response.json()["type"]).rpartition(":")[2]


def test_uploading_100_mb_costs_the_web_process_little_memory_and_its_child_a_bounded_one(
    server: Server, large_model: Path
) -> None:
    _put(server, onnx_model(41))  # what every upload loads once
    reset_peak(server.worker_pid)
    before = peak_bytes(server.worker_pid)
    with ChildrensPeak(server.worker_pid) as children:
        response = _put_file(server, large_model)
    rise = peak_bytes(server.worker_pid) - before
    assert response.status_code == 201, response.text
    log.info("web process +%.1f MiB, check's child %.1f MiB", rise / MIB, children.highest_bytes / MIB)
    assert rise <= 16 * MIB
    assert large_model.stat().st_size < children.highest_bytes < 600 * MIB


def test_serving_a_large_file_costs_little_memory_and_gives_it_whole(server: Server, large_model: Path) -> None:
    _put_file(server, large_model)
    sha256 = digest(large_model.read_bytes())
    reset_peak(server.worker_pid)
    before = peak_bytes(server.worker_pid)
    with server.client() as client:
        response = client.get(f"/artifacts/sha256/{sha256}", headers={"Range": "bytes=1000000-"})
    assert response.status_code == 206
    assert response.content == large_model.read_bytes()[1_000_000:]
    assert peak_bytes(server.worker_pid) - before <= 16 * MIB


def _begin_upload(server: Server, content: bytes, sent_bytes: int) -> socket.socket:
    """Send the head of an upload and a part of its body; returns once the part lies in the store's staging."""
    connection = server.socket()
    head = (
        f"PUT /api/v1/artifacts/sha256/{digest(content)}?kind=model HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {server.token}\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    connection.sendall(head.encode() + content[:sent_bytes])
    _wait_for(lambda: any("staging" in str(file) for file in server.files()))
    return connection


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _staged(server: Server) -> list[Path]:
    return [file for file in server.files() if file.parent.name == "staging"]


def test_client_that_stops_sending_half_way_is_told_and_nothing_is_left(server: Server) -> None:
    content = os.urandom(3 * MIB)
    before = server.files()
    with _begin_upload(server, content, MIB) as connection:
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    problem = json.loads(body)
    assert problem["type"].endswith(":upload-incomplete")
    assert "send the file again" in problem["detail"]
    assert server.files() == before


def test_connection_that_is_reset_half_way_leaves_nothing(server: Server) -> None:
    before = server.files()
    connection = _begin_upload(server, os.urandom(3 * MIB), MIB)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    _wait_for(lambda: not _staged(server))
    assert server.files() == before
    assert _put(server, onnx_model(42)).status_code == 201


def test_wrong_digest_and_bad_files_leave_nothing(server: Server) -> None:
    before = server.files()
    assert _slug(_put(server, onnx_model(43), sha256="0" * 64)) == "digest-mismatch"
    assert _slug(_put(server, b"")) == "artifact-empty"
    assert _slug(_put(server, onnx_model(43)[:-30])) == "model-invalid"
    assert _slug(_put(server, os.urandom(100_000))) == "model-invalid"
    assert server.files() == before


def test_full_disk_is_507_and_nothing_is_left(small_disk_server: Server) -> None:
    server = small_disk_server
    before = server.files()
    response = _put(server, os.urandom(4 * MIB))
    assert response.status_code == 507
    assert _slug(response) == "store-full"
    assert "free some space" in response.json()["detail"]
    assert server.files() == before
    assert _put(server, onnx_model(44)).status_code == 201


def test_client_whose_uploads_are_refused_goes_on(server: Server) -> None:
    """The body that nobody wanted must not be read as the next request."""
    with server.client() as client:
        for content in (b"x" * 500_000, b"y" * 500_000):
            response = client.put(f"/artifacts/sha256/{digest(content)}?kind=nonsense", content=content)
            assert _slug(response) == "invalid-input"
        assert client.get("/models").status_code == 200


def test_large_upload_with_a_wrong_token_gets_its_answer(server: Server) -> None:
    with server.client() as client:
        response = client.put(
            f"/artifacts/sha256/{'0' * 64}?kind=model",
            content=bytes(20 * MIB),
            headers={"Authorization": "Bearer sft_wrong"},
        )
    assert _slug(response) == "unauthenticated"


def _head(server: Server, *, token: str, length: int, kind: str = "model") -> bytes:
    return (
        f"PUT /api/v1/artifacts/sha256/{'0' * 64}?kind={kind} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def _answer_of(connection: socket.socket) -> tuple[int, bytes]:
    """Status and the whole answer; the client keeps its own side open meanwhile."""
    answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b"\r\nconnection: close\r\n" in answer.lower()
    return int(answer.split(b" ", 2)[1]), answer


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"token": "sft_wrong", "length": 100_000}, 401),
        ({"length": 9_999_999_999}, 413),
        ({"length": 100_000, "kind": "nonsense"}, 400),
    ],
)
def test_refused_upload_is_answered_before_its_body_came(server: Server, wrong: dict[str, Any], status: int) -> None:
    with server.socket() as connection:
        started = time.monotonic()
        connection.sendall(_head(server, **{"token": server.token, **wrong}) + bytes(1000))
        assert _answer_of(connection)[0] == status
        assert time.monotonic() - started < 2


@pytest.mark.parametrize("token", ["sft_wrong", None])
def test_refused_uploads_that_hold_on_stop_nobody(server: Server, token: str | None) -> None:
    """More of them than the server has threads, and none reads its answer."""
    with ExitStack() as held:
        for _ in range(24):
            connection = held.enter_context(server.socket())
            connection.sendall(_head(server, token=token or server.token, length=9_999_999_999) + bytes(1000))
        started = time.monotonic()
        with server.client() as client:
            assert client.get("/models").status_code == 200
        assert time.monotonic() - started < 2


def test_refused_client_that_keeps_sending_is_heard_out_for_a_bounded_time(server: Server) -> None:
    with server.socket() as connection:
        connection.sendall(_head(server, token=server.token, length=100_000_000, kind="nonsense"))
        started = time.monotonic()
        with pytest.raises(OSError, match=r"(?i)reset|broken pipe"):
            _trickle(connection, 20)
        assert time.monotonic() - started < 5


def _trickle(connection: socket.socket, at_most_s: float) -> None:
    end = time.monotonic() + at_most_s
    while time.monotonic() < end:
        connection.sendall(bytes(100))
        time.sleep(0.01)


def test_server_leaves_no_control_socket_to_fight_over(server: Server) -> None:
    assert not list(server.store.parent.rglob("*.ctl"))


def test_chunked_upload_is_411(server: Server) -> None:
    with server.client() as client:
        response = client.put(f"/artifacts/sha256/{'0' * 64}?kind=model", content=iter([b"a", b"b"]))
    assert (response.status_code, _slug(response)) == (411, "length-required")


def test_same_bytes_from_four_clients_at_once_make_one_artifact(server: Server) -> None:
    content = contract_bytes(note="at once")
    start = threading.Barrier(4)

    def one(_number: int) -> int:
        start.wait(10)
        return int(_put(server, content, "contract").status_code)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(one, range(4))) == [200, 200, 200, 201]
    assert len([file for file in server.files() if file.name == digest(content)]) == 1
    assert _staged(server) == []
