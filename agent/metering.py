"""Connections of `http.client` that count every byte of HTTP, and bound the time of every read.

Counted is what passes between `http.client` and its socket: request line, headers, body and framing, above TLS where there
is TLS. What TLS and TCP add is the link's own and not in these figures.
"""

import http.client
import io
import math
import socket
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from agent.errors import TooSlow

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

READ_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Counted:
    """HTTP bytes and requests since the client was made."""

    received: int = 0
    sent: int = 0
    requests: int = 0

    def __sub__(self, earlier: "Counted") -> "Counted":
        return Counted(self.received - earlier.received, self.sent - earlier.sent, self.requests - earlier.requests)


@dataclass(slots=True)
class Meter:
    """Counts bytes and requests, and says how long the next read may take. `deadline_at` is of the monotonic clock."""

    timeout_s: float
    received: int = 0
    sent: int = 0
    requests: int = 0
    deadline_at: float = math.inf

    def counted(self) -> Counted:
        return Counted(self.received, self.sent, self.requests)

    def patience_s(self) -> float:
        """Seconds that the next read or write may take.

        Raises:
            TooSlow: the request's time is up.
        """
        left_s = self.deadline_at - time.monotonic()
        if left_s <= 0:
            raise TooSlow("the deadline of the request passed")
        return min(self.timeout_s, left_s)


class _MeteredReader(io.RawIOBase):
    """The reading half of a socket."""

    def __init__(self, connected: socket.socket, meter: Meter) -> None:
        super().__init__()
        self._socket = connected
        # Holds its own reference: http.client closes the socket before it has read the last answer.
        self._raw = connected.makefile("rb", buffering=0)
        self._meter = meter

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int | None:
        self._socket.settimeout(self._meter.patience_s())
        try:
            count = self._raw.readinto(buffer)
        except TimeoutError:
            self._meter.patience_s()  # tells a passed deadline from a silent link
            raise
        self._meter.received += count or 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _MeteredSocket:
    """What `http.client` uses of a socket, counted."""

    def __init__(self, connected: socket.socket, meter: Meter) -> None:
        self._socket = connected
        self._meter = meter

    def sendall(self, content: "ReadableBuffer") -> None:
        self._socket.settimeout(self._meter.patience_s())
        self._socket.sendall(content)
        self._meter.sent += memoryview(content).nbytes

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_MeteredReader(self._socket, self._meter), READ_BYTES)

    def close(self) -> None:
        self._socket.close()


class MeteredHTTP(http.client.HTTPConnection):
    """A plain connection whose bytes are counted by `meter`."""

    meter: Meter

    def connect(self) -> None:
        super().connect()
        self.sock = cast("socket.socket", _MeteredSocket(self._secured(self.sock), self.meter))

    def _secured(self, connected: socket.socket) -> socket.socket:
        return connected


class MeteredHTTPS(MeteredHTTP):
    """A connection over TLS whose bytes are counted by `meter`, as they are before encryption.

    With a `resumed` session of an earlier connection in the same `tls` context, certificates are neither sent nor checked anew.
    """

    default_port = http.client.HTTPS_PORT
    tls: ssl.SSLContext
    resumed: ssl.SSLSession | None = None
    _secure: ssl.SSLSocket | None = None

    def _secured(self, connected: socket.socket) -> socket.socket:
        self._secure = self.tls.wrap_socket(connected, server_hostname=self.host, session=self.resumed)
        return self._secure

    @property
    def is_up(self) -> bool:
        """Whether there was a handshake."""
        return self._secure is not None

    @property
    def was_resumed(self) -> bool:
        """Whether the server took the session up."""
        return self._secure is not None and bool(self._secure.session_reused)

    def session(self) -> ssl.SSLSession | None:
        """A session for the next connection: TLS 1.3 sends it after the handshake, so ask once an answer was read."""
        session = None if self._secure is None else self._secure.session
        return session if session is not None and session.has_ticket else None
