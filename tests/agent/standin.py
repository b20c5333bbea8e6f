"""A small server that speaks docs/wire.md to an agent over real loopback HTTP, and misbehaves on request."""

import gzip
import hashlib
import json
import ssl
import sys
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from tests.agent.repository import Repository

CREDENTIAL = "sfd_" + "c" * 43
ENROLLMENT_TOKEN = "sfe_" + "e" * 43


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class StandIn:
    """What the server has, wants and has seen. `misbehave` takes over the next requests for artifacts, one each."""

    port: int = 0
    scheme: str = "http"
    artifacts: dict[str, bytes] = field(default_factory=dict)
    entries: list[dict[str, Any]] = field(default_factory=list)
    poll_after_s: float = 60
    said: dict[str, Any] | None = None
    events: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    repeated: int = 0
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    # Questions for signed metadata, apart, since few tests are about them.
    seen_news: list[Seen] = field(default_factory=list)
    enrolled: list[dict[str, Any]] = field(default_factory=list)
    problems: dict[str, tuple[int, str]] = field(default_factory=dict)
    retry_after_s: int | None = None
    misbehave: deque[Callable[["Handler", bytes], None]] = field(default_factory=deque)
    # What an enrolled device may say; as the server does, it forgets the first with the first use of the second.
    credentials: list[str] = field(default_factory=lambda: [sha256(CREDENTIAL.encode())])
    wants_rotation: bool = False
    # The same for the next polls.
    take_over_polls: deque[Callable[["Handler", bytes], None]] = field(default_factory=deque)
    poll_body: bytes | None = None
    refuse_events: set[str] = field(default_factory=set)
    # The signed metadata of each line, made when the first target of the line is added.
    lines: dict[str, Repository] = field(default_factory=dict)
    # The same as `misbehave` for the next questions for news.
    take_over_news: deque[Callable[["Handler", bytes], None]] = field(default_factory=deque)
    # Of each TLS connection, whether it took up an earlier session.
    resumed: list[bool] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def add(self, content: bytes) -> dict[str, Any]:
        """Store an artifact; its digest and size as the wire names them."""
        self.artifacts[sha256(content)] = content
        return {"sha256": sha256(content), "size_bytes": len(content)}

    def line(self, model: str) -> Repository:
        """The signed metadata of a model line."""
        return self.lines.setdefault(model, Repository(model))

    def kinds(self, attempt: str | None = None) -> list[str]:
        """The kinds of the accepted events in the order of their numbers."""
        chosen = [event for event in self.events.values() if attempt in (None, event["attempt"])]
        return [event["kind"] for event in sorted(chosen, key=lambda event: (event["attempt"], event["seq"]))]

    def details(self, kind: str) -> list[dict[str, Any]]:
        return [event["detail"] for event in self.events.values() if event["kind"] == kind]

    def requests(self, method: str, path: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.method == method and seen.path.startswith(f"/api/v1/{path}")]


class Handler(BaseHTTPRequestHandler):
    """The routes a device uses."""

    protocol_version = "HTTP/1.1"
    server_version = "gunicorn"
    sys_version = ""
    state: StandIn

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        pass

    def do_GET(self) -> None:
        self._route("GET")

    def do_POST(self) -> None:
        self._route("POST")

    def do_PUT(self) -> None:
        self._route("PUT")

    def answer(self, status: int, content: bytes = b"", **headers: str) -> None:
        """Send a whole answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def answer_json(self, document: object, status: int = 200, **headers: str) -> None:
        self.answer(status, json.dumps(document).encode(), Content_Type="application/json", **headers)

    def problem(self, status: int, slug: str, **headers: str) -> None:
        document = {
            "type": f"urn:smallfleet:problem:{slug}",
            "title": slug,
            "status": status,
            "detail": "said the stand-in",
        }
        self.answer(status, json.dumps(document).encode(), Content_Type="application/problem+json", **headers)

    def send_range(self, content: bytes, most: int | None = None) -> None:
        """Serve an artifact as the server does; with `most`, cut the connection after that many bytes."""
        start, end, total = 0, len(content), len(content)
        wanted = self.headers.get("Range")
        if wanted is not None and self.headers.get("If-Range") in (None, f'"{sha256(content)}"'):
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, end = int(first), min(total, int(last) + 1) if last else total
        self.send_response(206 if end - start < total else 200)
        if end - start < total:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{total}")
        self.send_header("Content-Length", str(end - start))
        self.send_header("ETag", f'"{sha256(content)}"')
        self.end_headers()
        body = content[start:end] if most is None else content[start : min(end, start + most)]
        self.wfile.write(body)
        if most is not None:
            self.close_connection = True

    def setup(self) -> None:
        super().setup()
        if isinstance(self.connection, ssl.SSLSocket):
            self.state.resumed.append(bool(self.connection.session_reused))

    def _route(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        seen = self.state.seen_news if "/metadata/news" in self.path else self.state.seen
        seen.append(Seen(method, self.path, headers, body))
        path = self.path.removeprefix("/api/v1/")
        for prefix, (status, slug) in self.state.problems.items():
            if path.startswith(prefix):
                retry = {} if self.state.retry_after_s is None else {"Retry_After": str(self.state.retry_after_s)}
                self.problem(status, slug, **retry)
                return
        if path == "enroll":
            self._enroll(json.loads(body))
        elif not self._is_known(headers.get("authorization", "")):
            self.problem(401, "unauthenticated")
        elif path == "credential":
            self.state.credentials[1:] = [json.loads(body)["next_sha256"]]
            self.answer(204)
        elif path == "poll":
            self._poll(method, body)
        elif path.startswith("artifacts/sha256/"):
            self._artifact(path.removeprefix("artifacts/sha256/"))
        elif path.startswith("models/"):
            self._news(path)
        elif path in ("events", "reports"):
            self._take(path, json.loads(body)[path])
        else:
            self.problem(404, "not-found")

    def _news(self, path: str) -> None:
        """`models/<line>/metadata/news?root=…`, gzip where it is taken, as the server does."""
        name, _, query = path.removeprefix("models/").partition("/metadata/news?")
        if name not in self.state.lines:
            self.problem(404, "no-trust")
            return
        known = {role: int(version) for role, version in parse_qsl(query)}
        document = self.state.lines[name].news(**known)
        content = json.dumps(document).encode()
        if self.state.take_over_news:
            self.state.take_over_news.popleft()(self, content)
        elif document == {"roots": []}:
            self.answer(204)
        elif "gzip" in self.headers.get("Accept-Encoding", ""):
            self.answer(200, gzip.compress(content), Content_Type="application/json", Content_Encoding="gzip")
        else:
            self.answer(200, content, Content_Type="application/json")

    def _is_known(self, authorization: str) -> bool:
        presented = sha256(authorization.removeprefix("Bearer ").encode())
        if presented not in self.state.credentials:
            return False
        if presented != self.state.credentials[0]:
            self.state.credentials, self.state.wants_rotation = [presented], False
        return True

    def _enroll(self, document: dict[str, Any]) -> None:
        self.state.enrolled.append(document)
        if document.get("token") not in (None, ENROLLMENT_TOKEN):
            self.problem(403, "enrollment-refused")
            return
        granted = {
            "device_id": str(uuid.uuid4()),
            "credential": CREDENTIAL,
            "poll_after_s": 60,
            "approved": "token" in document,
        }
        self.answer_json(granted, 201)

    def _poll(self, method: str, body: bytes) -> None:
        if self.state.take_over_polls:
            self.state.take_over_polls.popleft()(self, body)
            return
        if self.state.poll_body is not None:
            self.answer(200, self.state.poll_body, Content_Type="application/json")
            return
        if method == "POST":
            self.state.said = json.loads(body)
        if self.state.said is None:
            self.problem(409, "say-first")
            return
        entries = [
            self.state.lines[one["model"]].versioned(one) if one["model"] in self.state.lines else one
            for one in self.state.entries
        ]
        covered = json.dumps([entries, self.state.said]).encode()
        etag = f'"{sha256(covered)[:16]}"'
        if method == "GET" and not self.state.wants_rotation and self.headers.get("If-None-Match") == etag:
            self.answer(304, ETag=etag)
            return
        answer = {"poll_after_s": self.state.poll_after_s, "installations": entries}
        if self.state.wants_rotation:
            self.answer_json({**answer, "rotate_credential": True})
        else:
            self.answer_json(answer, ETag=etag)

    def _artifact(self, digest: str) -> None:
        content = self.state.artifacts.get(digest)
        if content is None:
            self.problem(404, "artifact-unknown")
        elif self.state.misbehave:
            self.state.misbehave.popleft()(self, content)
        else:
            self.send_range(content)

    def _take(self, kind: str, messages: list[dict[str, Any]]) -> None:
        refused, before = [], len(self.state.events) + len(self.state.reports)
        for message in messages:
            if kind == "reports":
                self.state.reports[message["report"]["run_id"]] = message
            elif message["kind"] in self.state.refuse_events:
                refused.append({"attempt": message["attempt"], "seq": message["seq"], "type": "refused", "detail": ""})
            else:
                self.state.events.setdefault((message["attempt"], message["seq"]), message)
        accepted = len(self.state.events) + len(self.state.reports) - before
        repeated = len(messages) - accepted - len(refused)
        self.state.repeated += repeated
        self.answer_json({"accepted": accepted, "repeated": repeated, "refused": refused})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """An agent that hangs up is what many tests are about."""
        if not isinstance(sys.exc_info()[1], ConnectionError | ssl.SSLError):
            super().handle_error(request, client_address)


@contextmanager
def stand_in(certificate: Path | None = None) -> Iterator[StandIn]:
    """A server on a free loopback port, stopped at the end; over TLS with a certificate (a PEM file with its key)."""
    state = StandIn(scheme="http" if certificate is None else "https")
    server = _Server(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"state": state}))
    state.port = server.server_address[1]
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
