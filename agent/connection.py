"""HTTP/1.1 on one connection, as little of it as the agent needs; every byte counted, every read bounded in time.

The standard library's client is a mebibyte and a half of resident memory, most of it the parser of mail headers. This one
writes requests that have all their body at hand and reads responses with a length, in chunks, or to the connection's end.
Whoever sends a response is not trusted: its head is bounded in lines and bytes, a header that could be read in two ways
refuses the response, and how much of a body is read is the caller's choice. Grammar: RFC 9112.

Counted is what passes above TLS, where there is TLS: request line, headers, body and framing. What TLS and TCP add is the
link's own and not in these figures.
"""

import math
import re
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass

from agent.errors import ServerUnavailable, TooSlow

READ_BYTES = 1 << 16
# A whole head is read in pieces of this size, so that little of a body comes along.
HEAD_BYTES = 1 << 12
MAX_HEAD_BYTES = 1 << 16
MAX_HEADERS = 100
MAX_CHUNK_LINE_BYTES = 1 << 10
# What the lines between chunks may take beyond what the chunks themselves do: bytes that a link is paid for.
MAX_EXCESS_BYTES = 1 << 14
# The ends of a chunk and of its line.
FRAME_BYTES = 4
# Interim responses before the final one (100, 103).
MAX_INTERIM = 8

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5]\d\d)(?: [^\x00-\x08\x0a-\x1f\x7f]*)?")
_HEADER_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\x00-\x08\x0a-\x1f\x7f]*)")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


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


@dataclass(frozen=True, slots=True)
class Security:
    """TLS of one connection, and the session of an earlier one in the same context that it may resume."""

    context: ssl.SSLContext
    resumed: ssl.SSLSession | None = None


class Connection:
    """One connection to `host`, over TLS where there is `security`.

    Raises:
        OSError: it cannot be made.
        TooSlow: not in time.
    """

    def __init__(self, host: str, port: int, meter: Meter, security: Security | None = None) -> None:
        # As bytes: Python's way from a text to a host name loads the tables of Unicode.
        name = host.encode("ascii" if host.isascii() else "idna")
        self._meter = meter
        self._ahead = bytearray()
        self._secure: ssl.SSLSocket | None = None
        self._socket = _connected(name, port, meter)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if security is not None:
            try:
                self._secure = security.context.wrap_socket(
                    self._socket, server_hostname=name, session=security.resumed
                )
            except ConnectionError as error:
                self._socket.close()
                raise ssl.SSLError(
                    f"the handshake was cut off: {error}"
                ) from error  # not by the link: maybe for the session
            except BaseException:
                self._socket.close()
                raise
            self._socket = self._secure

    @property
    def was_resumed(self) -> bool:
        """Whether the server took the earlier session up, so that its certificate was not looked at anew."""
        return self._secure is not None and bool(self._secure.session_reused)

    def session(self) -> ssl.SSLSession | None:
        """A session for the next connection: TLS 1.3 sends it after the handshake, so ask once an answer was read."""
        session = None if self._secure is None else self._secure.session
        return session if session is not None and session.has_ticket else None

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def request(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None = None) -> "Response":
        """Send a request and read the head of the response to it.

        Raises:
            ConnectionError: the connection was closed before a byte of the response.
            OSError: it broke.
            ServerUnavailable: what came is no HTTP, or not in time.
        """
        self._meter.requests += 1
        self._send(_head(method, target, headers, body) + (body or b""))
        for _head_number in range(MAX_INTERIM + 1):
            version, status, fields = self._read_head()
            if status >= 200:
                return Response(self, version, status, fields)
        raise ServerUnavailable(f"more than {MAX_INTERIM} interim responses")

    def _send(self, content: bytes) -> None:
        self._socket.settimeout(self._meter.patience_s())
        self._socket.sendall(content)
        self._meter.sent += len(content)

    def _read_head(self) -> tuple[int, int, dict[str, str]]:
        """Minor version, status and headers by lower-case name."""
        while (end := self._ahead.find(b"\r\n\r\n")) < 0:
            if len(self._ahead) > MAX_HEAD_BYTES:
                raise ServerUnavailable(f"the head of a response is longer than {MAX_HEAD_BYTES} bytes")
            if not self.read_ahead(HEAD_BYTES):
                if not self._ahead:
                    raise ConnectionResetError("the server closed the connection without an answer")
                raise ServerUnavailable("the head of a response ended early")
        lines = bytes(self._ahead[:end]).split(b"\r\n")
        del self._ahead[: end + 4]
        matched = _STATUS_LINE.fullmatch(lines[0])
        if matched is None:
            raise ServerUnavailable(f"{lines[0][:80]!r} is no status line")
        return int(matched[1]), int(matched[2]), _fields(lines[1:])

    @property
    def ahead_bytes(self) -> int:
        """Bytes that were received, and counted, but not asked for yet."""
        return len(self._ahead)

    def read_ahead(self, most: int) -> bool:
        """Receive once into the buffer; False at the end."""
        piece = self._receive(most)
        self._ahead += piece
        return bool(piece)

    def read_some(self, most: int) -> bytes:
        """At most so many bytes, at least one; none at the end."""
        if not self._ahead:
            return self._receive(most)
        piece = bytes(self._ahead[:most])
        del self._ahead[:most]
        return piece

    def read_line(self) -> bytes:
        """One short line of the framing, without its end."""
        while (end := self._ahead.find(b"\r\n")) < 0:
            if len(self._ahead) > MAX_CHUNK_LINE_BYTES or not self.read_ahead(HEAD_BYTES):
                raise ServerUnavailable("a chunk is not framed")
        line = bytes(self._ahead[:end])
        del self._ahead[: end + 2]
        return line

    def _receive(self, most: int) -> bytes:
        self._socket.settimeout(self._meter.patience_s())
        try:
            piece = self._socket.recv(most)
        except TimeoutError:
            self._meter.patience_s()  # tells a passed deadline from a silent link
            raise
        self._meter.received += len(piece)
        return piece


class Response:
    """The answer to one request; the body is read by whoever asked, or not.

    Attributes:
        status: from 200 to 599.
        length: bytes of the body that are still to be read; None where the response does not say.
    """

    def __init__(self, connection: Connection, version: int, status: int, fields: Mapping[str, str]) -> None:
        self.status = status
        self._connection = connection
        self._fields = fields
        self._may_go_on = version == 1 and fields.get("connection", "").lower() != "close"
        self.length: int | None = self._announced()
        self._is_finished = self.length == 0
        # Bytes left of the chunk under way; None where there are no chunks, or before the first.
        self._chunk_left: int | None = None
        # Bytes of framing beyond those of the body.
        self._excess_bytes = 0

    def getheader(self, name: str, default: str | None = None) -> str | None:
        """The value of a header, whatever its case."""
        return self._fields.get(name.lower(), default)

    @property
    def leaves_connection_usable(self) -> bool:
        """Whether another request may follow on the connection: the body was read to its end, and nothing came after it."""
        return self._may_go_on and self._is_finished and not self._connection.ahead_bytes

    @property
    def ahead_bytes(self) -> int:
        """Bytes that were received, and counted, but not read yet."""
        return self._connection.ahead_bytes

    def read1(self, most: int) -> bytes:
        """The next bytes of the body as they come, at most so many; none at its end.

        Raises:
            ServerUnavailable: it ended early, or its framing is broken.
            OSError: the connection broke.
        """
        if self._is_finished or most <= 0:
            return b""
        if self.length is None and "transfer-encoding" in self._fields:
            return self._read_of_chunk(most)
        piece = self._connection.read_some(most if self.length is None else min(most, self.length))
        if self.length is None:
            self._is_finished, self._may_go_on = not piece, False
            return piece
        if not piece:
            raise ServerUnavailable(f"the body ended {self.length} bytes early")
        self.length -= len(piece)
        self._is_finished = self.length == 0
        return piece

    def read(self, most: int = -1) -> bytes:
        """The rest of the body, or so many bytes of it.

        Raises:
            As `read1`.
        """
        pieces: list[bytes] = []
        left = math.inf if most < 0 else most
        while left > 0 and (piece := self.read1(int(min(left, READ_BYTES)))):
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def _announced(self) -> int | None:
        """The body's length from the head, RFC 9112 section 6.3."""
        if self.status in (204, 304):
            return 0
        coding, length = self._fields.get("transfer-encoding"), self._fields.get("content-length")
        if coding is not None:
            if coding.lower() != "chunked":
                raise ServerUnavailable(f"the transfer coding {coding[:80]!r} is unknown")
            if length is not None:
                raise ServerUnavailable("a response with a length and in chunks can be read in two ways")
            return None
        if length is None:
            return None
        if not length.isdecimal() or len(length) > 18:
            raise ServerUnavailable(f"{length[:80]!r} is no length")
        return int(length)

    def _read_of_chunk(self, most: int) -> bytes:
        """The next bytes of a body in chunks, RFC 9112 section 7.1."""
        if not self._chunk_left:
            if self._chunk_left == 0 and self._connection.read_line():
                raise ServerUnavailable("a chunk is longer than it says")
            line = self._connection.read_line()
            self._chunk_left = _chunk_size(line)
            self._excess_bytes = max(0, self._excess_bytes + len(line) + FRAME_BYTES - self._chunk_left)
            if self._excess_bytes > MAX_EXCESS_BYTES:
                raise ServerUnavailable("a body in chunks of hardly anything")
            if self._chunk_left == 0:
                self._skip_trailers()
                self._is_finished = True
                return b""
        piece = self._connection.read_some(min(most, self._chunk_left))
        if not piece:
            raise ServerUnavailable("the body ended in the middle of a chunk")
        self._chunk_left -= len(piece)
        return piece

    def _skip_trailers(self) -> None:
        for _trailer in range(MAX_HEADERS):
            if not self._connection.read_line():
                return
        raise ServerUnavailable(f"more than {MAX_HEADERS} trailers")


def _connected(name: bytes, port: int, meter: Meter) -> socket.socket:
    """A connection to the first address of a name that takes one, within the time of the request whatever their number."""
    addresses = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    for index, (family, kind, protocol, _name, address) in enumerate(addresses):
        connected = socket.socket(family, kind, protocol)
        try:
            connected.settimeout(meter.patience_s())
            connected.connect(address)
        except OSError:
            connected.close()
            if index == len(addresses) - 1:
                raise
        except BaseException:
            connected.close()
            raise
        else:
            return connected
    raise OSError(f"{name.decode()} has no address")


def _head(method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    if " " in target or any(_CONTROL.search(line) or not line.isascii() for line in lines):
        raise ServerUnavailable("a request with what no header may hold was not sent")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def _fields(lines: list[bytes]) -> dict[str, str]:
    """Headers by lower-case name; of one that comes twice, the values joined as a list."""
    if len(lines) > MAX_HEADERS:
        raise ServerUnavailable(f"more than {MAX_HEADERS} headers")
    fields: dict[str, str] = {}
    for line in lines:
        matched = _HEADER_LINE.fullmatch(line)
        if matched is None:
            raise ServerUnavailable(f"{line[:80]!r} is no header")
        name, value = matched[1].decode("ascii").lower(), matched[2].strip(b" \t").decode("latin-1")
        # Lengths that contradict each other become a list, which is no number.
        fields[name] = f"{fields[name]}, {value}" if name in fields and fields[name] != value else value
    return fields


def _chunk_size(line: bytes) -> int:
    matched = _CHUNK_LINE.fullmatch(line)
    if matched is None:
        raise ServerUnavailable(f"{line[:80]!r} is no size of a chunk")
    return int(matched[1], 16)
