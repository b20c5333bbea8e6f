"""A TCP relay on loopback that counts the bytes of both directions, so that a figure comes from the socket and not from the program measured."""

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

BLOCK_BYTES = 64 * 1024
# tcpi_segs_out and tcpi_segs_in of `struct tcp_info`, include/uapi/linux/tcp.h, since Linux 4.2.
_SEGMENTS = struct.Struct("=II")
_SEGMENTS_AT = 136


@dataclass(slots=True)
class CountingProxy:
    """Relays connections to `target_port` and counts; use as a context manager.

    Attributes:
        up_bytes: bytes from client to server so far.
        down_bytes: bytes from server to client so far.
        connections: accepted so far.
        segments: TCP segments of the ended connections, both ways, as the kernel counted them.
    """

    target_port: int
    up_bytes: int = 0
    down_bytes: int = 0
    connections: int = 0
    segments: int = 0
    _listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()

    def reset(self) -> None:
        """Begin counting from zero."""
        with self._lock:
            self.up_bytes = self.down_bytes = self.connections = self.segments = 0

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # the listener was closed: the proxy is over
                return
            server = socket.create_connection(("127.0.0.1", self.target_port))
            with self._lock:
                self.connections += 1
            threading.Thread(target=self._serve, args=(client, server), daemon=True).start()

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        down = threading.Thread(target=self._relay, args=(server, client, "down_bytes"), daemon=True)
        down.start()
        self._relay(client, server, "up_bytes")
        down.join()
        with client, server, self._lock:
            self.segments += sum(
                _SEGMENTS.unpack_from(client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256), _SEGMENTS_AT)
            )

    def _relay(self, source: socket.socket, sink: socket.socket, counter: str) -> None:
        with contextlib.suppress(OSError):
            while block := source.recv(BLOCK_BYTES):
                with self._lock:
                    setattr(self, counter, getattr(self, counter) + len(block))
                sink.sendall(block)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
