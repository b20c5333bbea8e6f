"""HTTP as the agent speaks it: one server, few headers, every byte counted.

A redirect is followed on GET alone; what identifies the device stays behind when it leaves the server's origin. All of a
response is bounded in size and in time, whoever sends it.
"""

import json
import logging
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

from agent import wire
from agent.config import Tls, is_loopback
from agent.connection import Connection, Counted, Meter, Response, Security
from agent.errors import (
    DISK_ERRNOS,
    NotApproved,
    RedirectRefused,
    RequestRefused,
    SayFirst,
    ServerUnavailable,
    Unauthenticated,
    WireInvalid,
)
from agent.vigil import vigil

MAX_REDIRECTS = 5
MAX_ANSWER_BYTES = 1 << 20
MAX_NESTING = 64
MAX_RETRY_AFTER_S = 86_400.0
REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Other than these, a 4xx is final.
TRANSIENT_STATUSES = frozenset({408, 425, 429})
# A resumed TLS session skips the server's certificate, so that is looked at anew once a day.
FULL_HANDSHAKE_S = 86_400.0
# Never sent to an origin that a redirect led to. If-Range goes too: another host's ETag is its own, and a mismatch would
# make it send the whole file again; what arrives is checked by its digest anyway.
HOME_HEADERS = frozenset({"Authorization", "Smallfleet-Attempt", "If-Range", "If-None-Match"})

PORTS = {"http": 80, "https": 443}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer with a small body."""

    status: int
    etag: str | None
    body: bytes

    def json(self) -> object:
        """The body, decoded.

        Raises:
            WireInvalid: it is no JSON, or nested deeper than anything that this agent could write down again.
        """
        document = wire.parse_json(self.body, "an answer")
        level = [document]
        for _depth in range(MAX_NESTING):
            level = [member for one in level if isinstance(one, dict | list) for member in _members(one)]
            if not level:
                return document
        raise WireInvalid(f"an answer is nested deeper than {MAX_NESTING} levels")


def _members(one: dict[str, object] | list[object]) -> Iterable[object]:
    return one.values() if isinstance(one, dict) else one


@dataclass(slots=True)
class Client:
    """Speaks with one server, over one connection that is kept while there is work and closed when there is none.

    `server` is an address without a trailing slash; `credential` may be empty before enrolment.
    """

    server: str
    credential: str = ""
    timeout_s: float = 30.0
    tls: Tls = field(default_factory=Tls)
    allow_insecure: bool = False
    _kept: Connection | None = None
    _visited: Connection | None = None
    _meter: Meter = field(init=False)
    _tls: ssl.SSLContext | None = None
    _tls_abroad: ssl.SSLContext | None = None
    # A poll on a new connection costs 1.3 kB with a resumed session and 3 to 6 kB with a full handshake.
    _session: ssl.SSLSession | None = None
    _certified_at: float = 0.0

    def __post_init__(self) -> None:
        self._meter = Meter(self.timeout_s)

    def counted(self) -> Counted:
        return self._meter.counted()

    def close(self) -> None:
        """Drop the connections; the next request opens one."""
        self._leave()
        if self._kept is not None:
            self._remember_session(self._kept)
            self._kept.close()
            self._kept = None

    def _remember_session(self, connection: Connection) -> None:
        """Keep what the next connection to the server may resume; nothing of it is ever on disk."""
        if not connection.was_resumed:
            self._certified_at = time.monotonic()
        self._session = connection.session()

    def _leave(self) -> None:
        """Close the connection to the origin that a redirect led to."""
        if self._visited is not None:
            self._visited.close()
            self._visited = None

    def call(self, method: str, path: str, *, document: object = None, etag: str | None = None) -> Answer:
        """Ask the API once; 304 is an answer, every other status from 300 on is an error.

        Raises:
            ServerUnavailable: worth trying again later.
            RequestRefused: not worth it; `Unauthenticated` and `SayFirst` are kinds of it.
        """
        body = None if document is None else json.dumps(document, separators=(",", ":")).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        if etag is not None:
            headers["If-None-Match"] = etag
        with self.open(method, path, headers, body=body, seconds=4 * self.timeout_s) as response:
            if response.status >= 300 and response.status != 304:
                raise_for(response)
            etag = wire.parse_etag(response.getheader("ETag"))
            return Answer(response.status, etag, read_capped(response, MAX_ANSWER_BYTES))

    @contextmanager
    def open(
        self, method: str, path: str, headers: Mapping[str, str], *, body: bytes | None = None, seconds: float
    ) -> Iterator[Response]:
        """Send a request below `/api/v1/`, follow redirects, and give the response for reading within `seconds`.

        Raises:
            ServerUnavailable: the connection failed, before or while reading.
            OSError: the caller's disk refused inside the block.
            RedirectRefused: a redirect led where it must not.
        """
        self._meter.deadline_at = time.monotonic() + seconds
        identity = {"Authorization": f"Bearer {self.credential}"} if self.credential else {}
        try:
            with vigil.allow(seconds):
                response = self._follow(method, f"{self.server}/api/v1/{path}", {**identity, **headers}, body)
                try:
                    yield response
                finally:
                    self._settle(response)
        except (OSError, UnicodeError) as error:
            # UnicodeError: a redirect to a host name that cannot be one.
            self.close()
            if isinstance(error, ssl.SSLError):
                self._session = None
            if isinstance(error, OSError) and error.errno in DISK_ERRNOS:
                raise
            raise ServerUnavailable(f"{type(error).__name__}: {error}") from error
        except BaseException:
            self.close()
            raise

    def _settle(self, response: Response) -> None:
        """Keep the connection only after an answer that was read to its end."""
        self._leave()
        if not response.leaves_connection_usable:
            self.close()

    def _follow(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Response:
        home = _origin(urlsplit(url))
        for _hop in range(MAX_REDIRECTS + 1):
            parts = urlsplit(url)
            at_home = _origin(parts) == home
            response = self._send(parts, method, headers, body, keep=at_home)
            location = response.getheader("Location")
            if response.status not in REDIRECTS or location is None or method != "GET":
                return response
            read_capped(response, MAX_ANSWER_BYTES)
            self._settle(response)
            url = urljoin(url, location) if _is_address(location) else ""
            self._check_redirect(parts, urlsplit(url))
            if _origin(urlsplit(url)) != home:
                # Left for good: a way back home does not bring the credential back.
                headers = {name: value for name, value in headers.items() if name not in HOME_HEADERS}
        raise RedirectRefused(310, "redirect-refused", f"more than {MAX_REDIRECTS} redirects")

    def _check_redirect(self, source: SplitResult, target: SplitResult) -> None:
        if target.scheme not in ("http", "https") or not target.hostname:
            raise RedirectRefused(310, "redirect-refused", f"redirect to a {target.scheme[:20]!r} address")
        if target.scheme == "http" and source.scheme == "https":
            raise RedirectRefused(310, "redirect-refused", "redirect from https to http")
        if target.scheme == "http" and not (self.allow_insecure or is_loopback(target.hostname)):
            raise RedirectRefused(310, "redirect-refused", "redirect to http on another machine")

    def _send(
        self, url: SplitResult, method: str, headers: Mapping[str, str], body: bytes | None, *, keep: bool
    ) -> Response:
        host = url.hostname or ""
        port = url.port or PORTS[url.scheme]
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        shown = f"[{host}]" if ":" in host else host
        head = {"Host": shown if port == PORTS[url.scheme] else f"{shown}:{port}", **headers}
        if not keep:
            self._leave()
            self._visited = Connection(host, port, self._meter, self._security_abroad(url))
            return self._visited.request(method, target, head, body)
        if self._kept is not None:
            try:
                return self._kept.request(method, target, head, body)
            except ConnectionError:
                # The server closed an idle connection; every request of ours may be repeated.
                self.close()
        self._kept = Connection(host, port, self._meter, self._security(url))
        return self._kept.request(method, target, head, body)

    def _security(self, url: SplitResult) -> Security | None:
        if url.scheme != "https":
            return None
        if self._tls is None:
            self._tls = self.tls.context()
        return Security(self._tls, self._resumable())

    def _security_abroad(self, url: SplitResult) -> Security | None:
        if url.scheme != "https":
            return None
        if self._tls_abroad is None:
            self._tls_abroad = self.tls.context(at_home=False)
        return Security(self._tls_abroad, None)

    def _resumable(self) -> ssl.SSLSession | None:
        """The session with the server, unless its certificate is to be looked at anew."""
        return self._session if time.monotonic() - self._certified_at < FULL_HANDSHAKE_S else None


def _is_address(location: str) -> bool:
    """Whether a Location can be taken apart at all."""
    try:
        return location.isascii() and urlsplit(location).port != 0
    except ValueError:
        return False


def _origin(url: SplitResult) -> tuple[str, str | None, int]:
    return url.scheme, url.hostname, url.port or PORTS.get(url.scheme, 0)


def read_capped(response: Response, most: int) -> bytes:
    """Read a whole small body.

    Raises:
        WireInvalid: it is longer than `most` bytes.
        ServerUnavailable: it ended early.
    """
    body = response.read(most + 1)
    if len(body) > most:
        raise WireInvalid(f"an answer is longer than {most} bytes")
    return body


def raise_for(response: Response) -> None:
    """Turn an error response into the error it means: clients branch on the problem's type and on the status alone.

    Raises:
        ServerUnavailable: 5xx, 408, 425, 429; `NotApproved` is a kind of it.
        RequestRefused: everything else.
    """
    status = response.status
    slug, detail = _problem(read_capped(response, MAX_ANSWER_BYTES))
    if status >= 500 or status in TRANSIENT_STATUSES:
        raise ServerUnavailable(
            f"{status} {slug}: {detail}", retry_after_s=_retry_after_s(response.getheader("Retry-After"))
        )
    if status == 403 and slug == "device-not-approved":
        raise NotApproved(f"{status} {slug}: {detail}", retry_after_s=_retry_after_s(response.getheader("Retry-After")))
    if status == 401:
        raise Unauthenticated(status, slug, detail)
    if status == 409 and slug == "say-first":
        raise SayFirst(status, slug, detail)
    raise RequestRefused(status, slug, detail)


def _problem(body: bytes) -> tuple[str, str]:
    """The slug and the detail of a problem+json body; of anything else, only that it is none."""
    try:
        document: Any = json.loads(body)
        slug = str(document["type"]).rpartition(":")[2][:80]
        return slug, str(document.get("detail") or document.get("title"))[:500]
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return "no-problem-document", f"{len(body)} bytes that are no problem document"


def _retry_after_s(value: str | None) -> float | None:
    """Seconds from a Retry-After header. Its date form needs a right wall clock, so it counts as absent."""
    if value is None or not value.strip().isdecimal():
        return None
    return min(float(value[:12]), MAX_RETRY_AFTER_S)
