"""The attacker as a process of its own: it stands where the server stood, and speaks docs/wire.md as one scheme wants it.

    python -m tests.attacks.attacker HOME PORT LOG SCHEME [OPTIONS]

`HOME` is what was stolen: the server's folder with its database, store and online keys. Every request is written to `LOG`, one JSON document a
line, so that a test sees what the device told. `OPTIONS` is a JSON object for the scheme.
"""

import gzip
import json
import sys
import time
import uuid
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import parse_qs, urlsplit

from tests.attacks.schemes import SCHEMES, Plan
from tests.attacks.thief import Files, Thief, digest, version_of

PIECE_PAUSE_S = 0.05


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it arrived; `body` is its JSON."""

    method: str
    path: str
    body: Any


class Handler(BaseHTTPRequestHandler):
    """The routes that a device uses, with the plan's tricks in place of honest answers."""

    protocol_version = "HTTP/1.1"
    server_version = "gunicorn"
    sys_version = ""
    thief: Thief
    plan: Plan
    log: TextIO

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        pass

    def do_GET(self) -> None:
        self._route()

    def do_POST(self) -> None:
        self._route()

    def _route(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = Asked(self.command, self.path, json.loads(body) if body else None)
        self.log.write(json.dumps(asdict(asked)) + "\n")
        parts = urlsplit(self.path)
        path = parts.path.removeprefix("/api/v1/")
        if path == "poll":
            self._poll()
        elif path.endswith("/metadata/news"):
            self._news(path.split("/")[1], {name: int(one[0]) for name, one in parse_qs(parts.query).items()})
        elif path.startswith("artifacts/sha256/"):
            self._artifact(path.removeprefix("artifacts/sha256/"))
        elif path in {"events", "reports"}:
            self.send_json({"accepted": len(asked.body[path]), "repeated": 0, "refused": []})
        elif path == "enroll":
            granted = {"device_id": "00000000-0000-4000-8000-000000000000", "credential": "sfd_" + "t" * 43}
            self.send_json({**granted, "poll_after_s": 1, "trusted_root_sha256": None}, 201)
        else:
            problem = {"type": "urn:smallfleet:problem:not-found", "title": "No", "status": 404, "detail": path}
            self.send_json(problem, 404)

    def _poll(self) -> None:
        if self.plan.poll == "not-modified" and "If-None-Match" in self.headers:
            self.send_head(304)
            return
        if self.plan.is_wasteful:
            self.plan.entries[0]["rollout"] = str(uuid.uuid4())
        answer = json.dumps({"poll_after_s": 1, "installations": self.plan.entries}).encode()
        answer = answer.replace(b'"poll_after_s": 1', b'"poll_after_s": ' + self.plan.poll_after_s.encode(), 1)
        self.send_whole(answer, ETag=f'"{digest(answer)[:16]}"', Content_Type="application/json")

    def _news(self, model: str, has: dict[str, int]) -> None:
        news = self._news_of(self.plan.files[model], has)
        match self.plan.news:
            case "honest":
                self.send_json(news)
            case "endless":
                self.send_endless(b'{"roots": ["' + b"A" * 65_536)
            case "drip":
                self.send_dripping(json.dumps(news).encode())
            case "bomb":
                # 256 MiB of zeros in 255 kB on the wire.
                packed = gzip.compress(b"[" + bytes(256 << 20), compresslevel=9)
                self.send_whole(packed, Content_Type="application/json", Content_Encoding="gzip")
            case "nested":
                self.send_whole(b"[" * 200_000 + b"]" * 200_000, Content_Type="application/json")
            case "garbage":
                self.send_json({"roots": ["}{"] * 40, "timestamp": "\x00", "snapshot": 7, "targets": None})

    def _news_of(self, files: Files, has: dict[str, int]) -> dict[str, Any]:
        """What the asker lacks, as the honest server tells it; under a scheme that pushes, everything always."""
        newest = {"timestamp": files.timestamp, "snapshot": files.snapshot, "targets": files.targets}
        return {
            "roots": [text.decode() for number, text in sorted(files.roots.items()) if number > has.get("root", 0)],
            **{
                role: text.decode()
                for role, text in newest.items()
                if self.plan.pushes or version_of(text) != has.get(role)
            },
        }

    def _artifact(self, sha256: str) -> None:
        content = self.plan.forged.get(sha256) or self.thief.artifact(sha256)
        trick, most = self.plan.tricks.get(sha256, ("honest", None))
        match trick:
            case "honest":
                self.send_range(content)
            case "endless":
                self.send_endless(content)
            case "drip":
                self.send_dripping(content)
            case "other-bytes":
                self.send_range(bytes(byte ^ 0x55 for byte in content))
            case "too-long":
                self.send_whole(content + b"more")
            case "too-short":
                self.send_whole(content[:-1])
            case "longer-than-told":
                self.send_head(200)
                self.wfile.write(content + bytes(1 << 20))
                self.close_connection = True
            case "cut-then-other-bytes":
                self._cut_then_lie(content, int(most or 0))
            case "other-range":
                self._other_range(content, int(most or 0))

    def _cut_then_lie(self, content: bytes, most: int) -> None:
        """The first request gets a right beginning and is cut; what continues it gets other bytes at the right place."""
        if "Range" not in self.headers:
            self.send_head(200, Content_Length=str(len(content)))
            self.wfile.write(content[:most])
            self.close_connection = True
            return
        self.send_range(content[:most] + bytes(len(content) - most))

    def _other_range(self, content: bytes, most: int) -> None:
        """As above, but the answer says that it is another range than the one that was asked for."""
        if "Range" not in self.headers:
            self._cut_then_lie(content, most)
            return
        self.send_head(
            206, Content_Range=f"bytes 0-{len(content) - 1}/{len(content)}", Content_Length=str(len(content))
        )
        self.wfile.write(content)

    # --- How answers are sent --------------------------------------------------------------------------------------------------------------

    def send_head(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def send_whole(self, content: bytes, status: int = 200, **headers: str) -> None:
        self.send_head(status, Content_Length=str(len(content)), **headers)
        self.wfile.write(content)

    def send_json(self, document: object, status: int = 200) -> None:
        self.send_whole(json.dumps(document).encode(), status, Content_Type="application/json")

    def send_range(self, content: bytes) -> None:
        """As the server does it."""
        first, last = 0, len(content) - 1
        wanted = self.headers.get("Range")
        if wanted is not None:
            low, _, high = wanted.removeprefix("bytes=").partition("-")
            first, last = int(low), min(last, int(high)) if high else last
        span = {} if wanted is None else {"Content_Range": f"bytes {first}-{last}/{len(content)}"}
        self.send_whole(content[first : last + 1], 200 if wanted is None else 206, ETag=f'"{digest(content)}"', **span)

    def send_endless(self, piece: bytes) -> None:
        """The same bytes for ever, with no length."""
        self.send_head(200, Content_Type="application/json")
        self.close_connection = True
        while True:
            self.wfile.write(piece)

    def send_dripping(self, content: bytes) -> None:
        """All of it, a byte at a time."""
        self.send_head(200, Content_Length=str(len(content)), Content_Type="application/json")
        for at in range(len(content)):
            self.wfile.write(content[at : at + 1])
            time.sleep(PIECE_PAUSE_S)


class Server(ThreadingHTTPServer):
    """Stands at the stolen address."""

    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A device that hangs up is what this is about."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def main() -> None:
    """Serve until somebody ends the process."""
    home, port, log_file, scheme, *options = sys.argv[1:]
    thief = Thief(Path(home))
    plan = SCHEMES[scheme](thief, **json.loads(options[0] if options else "{}"))
    with Path(log_file).open("a", buffering=1) as log:
        bound = type("BoundHandler", (Handler,), {"thief": thief, "plan": plan, "log": log})
        Server(("127.0.0.1", int(port)), bound).serve_forever()


if __name__ == "__main__":
    main()
