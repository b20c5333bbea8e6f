"""Starting the short-lived processes that do what the daemon must not: decode, look at the machine, call hooks.

A child gets a clean environment (no credential, no proxy, one thread per numeric library), an end in time, and dies with
the agent. It is ended by its own process group, so nothing it started stays.
"""

import contextlib
import logging
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.vigil import vigil

MAX_OUTPUT_BYTES, MAX_LAST_BYTES = 1 << 16, 2000
PIECE_BYTES, MAX_REST_PIECES = 1 << 16, 32
# How soon the end of a child is noticed whose output somebody else still holds.
LOOK_S = 0.05
# Kept for children: what finds programs and libraries, nothing that could hold a secret.
KEPT_VARIABLES = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "TMPDIR",
    "VIRTUAL_ENV",
    "PYTHONPATH",
    "PYTHONHOME",
)
SINGLE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended. `returncode` is negative for a signal, `None` when its time was up."""

    returncode: int | None
    stdout: bytes
    stderr_end: str


def python_module(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of ours in this interpreter; the working directory is not searched (-P)."""
    return [sys.executable, "-P", "-m", module, *arguments]


def run(command: Sequence[str], *, timeout_s: float, extra: Mapping[str, str] | None = None) -> Ended:
    """Run a child to its end, or end it when its time is up.

    Raises:
        OSError: it cannot be started.
    """
    environment = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**environment, **SINGLE_THREAD, **(extra or {})},
        start_new_session=True,
    ) as child:
        printed = _Printed(child)
        try:
            with vigil.allow(timeout_s):
                returncode = printed.listen(child, timeout_s)
        finally:
            _end_group(child)
        printed.hear_rest()
        return Ended(returncode, bytes(printed.stdout), printed.stderr.decode(errors="replace"))


class _Printed:
    """What a child prints, of which little is kept: the first of its standard output, the last of its standard error.

    Pipes that are read as it comes: a child is never blocked by them, needs no disk, and may open `/dev/stderr` anew.
    """

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self.stdout, self.stderr = bytearray(), bytearray()
        self._selector = selectors.PollSelector()
        for stream, keep in ((child.stdout, self._keep_first), (child.stderr, self._keep_last)):
            if stream is None:
                raise RuntimeError("a child without pipes")
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream.fileno(), selectors.EVENT_READ, keep)

    def listen(self, child: subprocess.Popen[bytes], timeout_s: float) -> int | None:
        """Hear the child until it ends; `None` when its time is up. What it started may still hold the pipes."""
        deadline = time.monotonic() + timeout_s
        while (returncode := child.poll()) is None:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return None
            if self._selector.get_map():
                self._hear(min(left_s, LOOK_S))
            else:
                time.sleep(min(left_s, LOOK_S))
        return returncode

    def hear_rest(self) -> None:
        """Take what lies in the pipes when all is over, but no endless stream of a process that got away."""
        for _piece in range(MAX_REST_PIECES):
            if not self._hear(0.0):
                break
        self._selector.close()

    def _hear(self, wait_s: float) -> bool:
        """Wait for output and take a piece of it; whether there was any."""
        ready = self._selector.select(wait_s)
        for key, _events in ready:
            try:
                piece = os.read(key.fd, PIECE_BYTES)
            except BlockingIOError:  # a child may take back what it printed
                continue
            if piece:
                key.data(piece)
            else:
                self._selector.unregister(key.fd)
        return bool(ready)

    def _keep_first(self, piece: bytes) -> None:
        self.stdout += piece[: MAX_OUTPUT_BYTES - len(self.stdout)]

    def _keep_last(self, piece: bytes) -> None:
        self.stderr += piece
        del self.stderr[:-MAX_LAST_BYTES]


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the child and of what it started, and reap it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
