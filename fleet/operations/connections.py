"""How gunicorn hangs up after an upload, so that whoever holds a connection open holds nothing else.

An upload may be answered before its body was read: without a valid token, too large, the wrong kind. To use such a connection again,
the rest of the body would have to be read first, for as long as the client likes. So an upload is the last request of its connection, the
answer says so (`Connection: close`), and it goes out before anything else is read. Closing on unread bytes may cost the client the answer,
since the kernel then resets the connection (RFC 9112, section 9.6); so whoever was let in is heard out a little, in the thread that
answered. Whoever was not is hung up on.
"""

import contextlib
import socket
import time
from http import HTTPStatus
from typing import Any

UPLOAD_PATH = "/api/v1/artifacts/"
STALL_TIMEOUT_S = 60
"""How long an upload may pause; then its connection counts as broken."""
LINGER_S = 2.0
LINGER_BYTES = 1024 * 1024
_NOT_HEARD_OUT = frozenset(
    {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.LENGTH_REQUIRED, HTTPStatus.REQUEST_ENTITY_TOO_LARGE}
)
_STEP_BYTES = 64 * 1024


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
