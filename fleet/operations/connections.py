"""How gunicorn hangs up after an upload, so that whoever holds a connection open holds nothing else.

An upload may be answered before its body was read: without a valid token, too large, the wrong kind. To use such a connection again,
the rest of the body would have to be read first, for as long as the client likes. So an upload is the last request of its connection, the
answer says so (`Connection: close`), and it goes out before anything else is read. Closing on unread bytes may cost the client the answer,
since the kernel then resets the connection (RFC 9112, section 9.6); so whoever was let in is heard out a little, in the thread that
answered. Whoever was not is hung up on.

A thread serves one request at a time, so a client that stops in the middle of one holds a thread: after `SMALLFLEET_WEB_STALL_S` without a byte, in
either direction, its connection is closed. One that sends a byte every few seconds holds its thread all the same; against those stands a proxy that
takes in whole requests before it passes them on (docs/production.md).
"""

import contextlib
import logging
import os
import socket
import struct
import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

UPLOAD_PATH = "/api/v1/artifacts/"
STALL_TIMEOUT_S = 60
"""How long a client may pause in the middle of a request or an answer; then its connection counts as broken."""
LINGER_S = 2.0
LINGER_BYTES = 1024 * 1024
_NOT_HEARD_OUT = frozenset(
    {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.LENGTH_REQUIRED, HTTPStatus.REQUEST_ENTITY_TOO_LARGE}
)
_STEP_BYTES = 64 * 1024


def end_stalls(listeners: Iterable[Any]) -> None:
    """Have the kernel end a read or write that makes no progress; connections inherit it from the socket that accepts them (socket(7))."""
    stall_s = int(os.environ.get("SMALLFLEET_WEB_STALL_S", STALL_TIMEOUT_S))
    for listener in listeners:
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            listener.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", stall_s, 0))


def without_stalls(record: logging.LogRecord) -> bool:
    """Whether gunicorn's log keeps a record: a connection that stalled is no error of the server, and needs no traceback."""
    return not (record.exc_info and isinstance(record.exc_info[1], BlockingIOError))


def is_upload(request: Any) -> bool:
    """Whether gunicorn's request carries an artifact."""
    return bool(request.method == "PUT" and request.path.startswith(UPLOAD_PATH))


def before_upload(request: Any) -> None:
    """Let the upload be the last request of its connection, and its pauses end."""
    request.force_close()
    request.unreader.sock.settimeout(STALL_TIMEOUT_S)


def after_upload(connection: socket.socket, status: int | None) -> None:
    """Hear the client out, if it was refused for what it sent, and read nothing more.

    gunicorn closes in the one thread that accepts, and waits there for the client; with the reading side shut it does not.
    """
    with contextlib.suppress(OSError):  # the client has gone: nothing to close
        if status is not None and status >= HTTPStatus.BAD_REQUEST and status not in _NOT_HEARD_OUT:
            connection.shutdown(socket.SHUT_WR)
            _hear_out(connection)
        connection.shutdown(socket.SHUT_RD)


def _hear_out(connection: socket.socket) -> None:
    """Read until the client closes, for at most `LINGER_S` and `LINGER_BYTES`."""
    deadline = time.monotonic() + LINGER_S
    left = LINGER_BYTES
    while left > 0 and (left_s := deadline - time.monotonic()) > 0:
        connection.settimeout(left_s)
        heard = len(connection.recv(_STEP_BYTES))
        if not heard:
            return
        left -= heard
