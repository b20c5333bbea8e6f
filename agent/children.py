"""Starting the short-lived processes that do what the daemon must not: decode, look at the machine, call hooks.

A child gets a clean environment (no credential, no proxy, one thread per numeric library), an end in time, and dies with
the agent. It is ended by its own process group, so nothing it started stays.
"""

import contextlib
import fcntl
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from agent.vigil import vigil

MAX_OUTPUT_BYTES, MAX_LAST_BYTES = 1 << 16, 2000
MAX_PRINTED_BYTES = 1 << 20
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
    with _memory_file("stdout") as stdout, _memory_file("stderr") as stderr:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env={**environment, **SINGLE_THREAD, **(extra or {})},
            start_new_session=True,
        )
        returncode: int | None = None
        try:
            with contextlib.suppress(subprocess.TimeoutExpired), vigil.allow(timeout_s):
                returncode = child.wait(timeout_s)
        finally:
            _end_group(child)
        last = max(0, _printed_bytes(stderr) - MAX_LAST_BYTES)
        return Ended(
            returncode,
            os.pread(stdout.fileno(), min(_printed_bytes(stdout), MAX_OUTPUT_BYTES), 0),
            os.pread(stderr.fileno(), _printed_bytes(stderr) - last, last).decode(errors="replace"),
        )


def _memory_file(name: str) -> BinaryIO:
    """A file that needs no disk, which may be full, and cannot block a child as a pipe does.

    It is sealed at its size: who prints without end is refused (EPERM), and does not take the machine's memory.
    """
    file = os.fdopen(os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "w+b")
    os.ftruncate(file.fileno(), MAX_PRINTED_BYTES)
    fcntl.fcntl(file.fileno(), fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
    return file


def _printed_bytes(file: BinaryIO) -> int:
    """How far a child came; it shares the file's position."""
    return os.lseek(file.fileno(), 0, os.SEEK_CUR)


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the child and of what it started, and reap it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
