"""One delivery over HTTP: to an address that was checked, in bounded time, reading a bounded answer.

The name is looked up once, all its addresses are checked, and the connection goes to one of those, while Host, SNI and the check of the
certificate are for the name: a name that leads elsewhere a moment later (DNS rebinding) changes nothing. No redirect is followed, no proxy of
the environment is used.
"""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Self

from fleet.errors import WebhookAddress
from fleet.webhooks.destinations import PORTS, Destination, Resolver, destination_of, require_allowed, resolved

TOTAL_TIMEOUT_S = 10.0
"""For everything but the look-up of the name, whose time the machine's resolver bounds."""
ANSWER_BYTES = 500
_ERROR_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one try; `error` is empty if the receiver took it."""

    status: int | None
    latency_ns: int
    answer: str
    error: str


class _Alarm:
    """Shuts a connection when its time is up. A socket's own timeout begins anew with each byte that trickles in."""

    def __init__(self, timeout_s: float) -> None:
        self._timer = threading.Timer(timeout_s, self._ring)
        self._timer.daemon = True
        self._lock = threading.Lock()
        self._sock: socket.socket | None = None
        self.rang = False

    def watch(self, sock: socket.socket) -> None:
        """Shut this one, at once if it is too late."""
        with self._lock:
            self._sock = sock
            if self.rang:
                _shut(sock)

    def _ring(self) -> None:
        with self._lock:
            self.rang = True
            if self._sock is not None:
                _shut(self._sock)

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


def _shut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it was closed just now
        sock.shutdown(socket.SHUT_RDWR)


class _CheckedConnection(HTTPConnection):
    """A connection to one of the given addresses, speaking to the destination's name."""

    def __init__(self, destination: Destination, addresses: Sequence[str], alarm: _Alarm, timeout_s: float) -> None:
        self.default_port = PORTS[destination.scheme]
        super().__init__(destination.host, destination.port, timeout=timeout_s)
        self._addresses = addresses
        self._alarm = alarm
        self._tls = ssl.create_default_context() if destination.scheme == "https" else None

    def connect(self) -> None:
        """Connect to the first address that answers."""
        self.sock = _first_that_answers(self._addresses, self.port, self._alarm, float(self.timeout or 0))
        if self._tls is not None:
            self.sock = self._tls.wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
            self._alarm.watch(self.sock)
            self.sock.do_handshake()


def _first_that_answers(addresses: Sequence[str], port: int, alarm: _Alarm, timeout_s: float) -> socket.socket:
    failure: OSError = OSError("the name has no address")
    for address in addresses:
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        sock.settimeout(timeout_s)
        alarm.watch(sock)
        try:
            sock.connect((address, port))
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
        if alarm.rang:
            break
    raise failure


def send(
    url: str,
    *,
    headers: Mapping[str, str],
    body: bytes,
    resolve: Resolver = resolved,
    timeout_s: float = TOTAL_TIMEOUT_S,
) -> Outcome:
    """POST `body`; what came of it. Never raises for what the other side, the name or the network does."""
    started_ns = time.monotonic_ns()
    status, answer, error = None, "", ""
    try:
        with _answer_to(url, headers, body, resolve, timeout_s) as response:
            status = response.status
            answer = _storable(_beginning(response).decode(errors="replace"))
            error = "" if response.status // 100 == 2 else f"the receiver answered {response.status}"
    except WebhookAddress as refused:
        error = refused.detail
    except (OSError, HTTPException, ValueError) as failure:
        error = str(failure) or type(failure).__name__
    return Outcome(status, time.monotonic_ns() - started_ns, answer, _storable(error[:_ERROR_CHARACTERS]))


def _beginning(response: HTTPResponse) -> bytes:
    """The first `ANSWER_BYTES` of a body. `read1` holds one buffer at most; `read` takes everything into memory for a chunk of a negative size."""
    found = b""
    while len(found) < ANSWER_BYTES and (block := response.read1(ANSWER_BYTES - len(found))):
        found += block
    return found[:ANSWER_BYTES]


def _storable(text: str) -> str:
    """Without NUL, which PostgreSQL takes in no text. The other side's words stand in an error, too."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


@contextlib.contextmanager
def _answer_to(
    url: str, headers: Mapping[str, str], body: bytes, resolve: Resolver, timeout_s: float
) -> Iterator[HTTPResponse]:
    destination = destination_of(url)
    addresses = resolve(destination.host, destination.port)
    require_allowed(addresses)
    with (
        _Alarm(timeout_s) as alarm,
        contextlib.closing(_CheckedConnection(destination, addresses, alarm, timeout_s)) as connection,
    ):
        try:
            connection.request("POST", destination.target, body=body, headers=dict(headers))
            with contextlib.closing(connection.getresponse()) as response:
                if alarm.rang:  # `http.client` takes headers that end early for whole ones
                    raise TimeoutError
                yield response
        except (OSError, HTTPException) as failure:
            if alarm.rang:
                raise TimeoutError(f"no whole answer within {timeout_s:g} s") from failure
            raise
