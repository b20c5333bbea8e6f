"""TLS in front of a plain server on loopback, as a proxy does in production: one context, so that sessions can be resumed."""

import contextlib
import select
import socket
import ssl
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

BLOCK_BYTES = 16 * 1024


def make_certificate(folder: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key, in one PEM file that is its own authority too."""
    key, pem = folder / "key.pem", folder / "server.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(pem)],
        check=True, capture_output=True,
    )  # fmt: skip
    pem.write_text(pem.read_text() + key.read_text())
    return pem


@dataclass(slots=True)
class TlsFront:
    """Ends TLS and relays what is inside to `target_port`; use as a context manager.

    Attributes:
        handshakes: full ones so far.
        resumptions: handshakes that took up an earlier session.
    """

    target_port: int
    certificate: Path
    handshakes: int = 0
    resumptions: int = 0
    _listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    _context: ssl.SSLContext = field(default_factory=lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        self._context.load_cert_chain(self.certificate)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # the listener was closed: the front is over
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), self._context.wrap_socket(client, server_side=True) as secure:
            with self._lock:
                self.resumptions += bool(secure.session_reused)
                self.handshakes += not secure.session_reused
            with socket.create_connection(("127.0.0.1", self.target_port)) as plain:
                _relay(secure, plain)


def _relay(secure: ssl.SSLSocket, plain: socket.socket) -> None:
    """Pass blocks both ways until one side ends. One thread: OpenSSL's connections are not for two at a time."""
    while True:
        ready = [secure] if secure.pending() else select.select([secure, plain], [], [])[0]
        for source in ready:
            block = source.recv(BLOCK_BYTES)
            if not block:
                return
            (plain if source is secure else secure).sendall(block)
