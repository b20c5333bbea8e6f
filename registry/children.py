"""Children that look at bytes from outside: limited, without the server's secrets, and gone when the answer is there.

A child is `python -m <module> <arguments>`. It is told its limits in an argument and sets them itself, before it imports
anything heavy (`benchmarks.confine`): nothing runs between fork and exec, which would be unsafe in a threaded server. When it
has imported what it needs, and before it looks at a byte, it gives up the network and all other processes, and where the kernel has Landlock every
file but those it was given (`shut_in`). What it says is read up to a cap. This module knows no Django, because children import the package it is in.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import IO

from benchmarks.confine import confine
from benchmarks.sandbox import keep_paths

ANSWER_CAP_BYTES = 4 * 1024**2
_STDERR_CAP_BYTES = 64 * 1024
_READ_BYTES = 64 * 1024
_OPEN_FILES = 64
# Libraries, thread stacks and reserved address space; the file that is looked at is mapped too.
_ADDRESS_SPACE_EXTRA_BYTES = 4 * 1024**3
_OUT_OF_MEMORY_WORDS = ("bad_alloc", "memoryerror", "out of memory", "cannot allocate memory", "failed to allocate")
_KEPT_VARIABLES = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TZ")


class Reason(Enum):
    """Why a child gave no answer."""

    MEMORY = "memory"
    TIME = "time"
    CRASH = "crash"


class ChildFailed(Exception):
    """The child ended without an answer."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Limits:
    """What one child may use.

    Attributes:
        memory_bytes: private writable memory (RLIMIT_DATA); mapped files and libraries do not count.
        timeout_s: elapsed time; also the backstop in CPU seconds.
        file_bytes: the largest file it may write.
        nice: added to its niceness.
        sandbox_required: whether it refuses to work on a kernel that cannot filter system calls.
    """

    memory_bytes: int
    timeout_s: int
    file_bytes: int = 0
    nice: int = 10
    sandbox_required: bool = True

    def told(self) -> str:
        """What the child is told, for `limit_itself` and `shut_in`."""
        return json.dumps({"limits": self._as_arguments(), "sandbox_required": self.sandbox_required})

    def _as_arguments(self) -> dict[str, int]:
        """What `benchmarks.confine.confine` is called with in the child. Private memory is the bound, address space only the outer fence."""
        return {
            "parent_pid": os.getpid(),
            "nice": self.nice,
            "cpu_s": self.timeout_s + 5,
            "file_bytes": self.file_bytes,
            "data_bytes": self.memory_bytes,
            "address_space_bytes": self.memory_bytes + _ADDRESS_SPACE_EXTRA_BYTES,
            "open_files": _OPEN_FILES,
        }


def limit_itself(told: str) -> None:
    """In the child, before it imports anything heavy."""
    confine(**json.loads(told)["limits"])


def shut_in(told: str, *, readable: Iterable[Path], writable: Iterable[Path] = ()) -> None:
    """In the child, when it has imported what it needs and before it looks at what it was given.

    Raises:
        SandboxUnavailable: the kernel cannot filter system calls, and that is required.
    """
    keep_paths(readable=readable, writable=writable, required=json.loads(told)["sandbox_required"])


def run_child(module: str, arguments: Sequence[str], *, limits: Limits) -> bytes:
    """Run a child to its end and return what it wrote to its standard output.

    Raises:
        ChildFailed: it was killed, ran out of its limits, or ended with another code than 0.
    """
    # -P: the working directory is not searched for modules.
    with subprocess.Popen(
        [sys.executable, "-P", "-m", module, limits.told(), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_environment(),
        cwd="/",
        start_new_session=True,
    ) as child:
        try:
            said, complaint = _listen(child, time.monotonic() + limits.timeout_s)
            code = child.wait()
        finally:
            with contextlib.suppress(
                ProcessLookupError
            ):  # also after a normal end: its own children must not outlive it
                os.killpg(child.pid, signal.SIGKILL)
    if code:
        raise _failure(code, complaint.decode(errors="replace"), limits)
    return said


def _environment() -> dict[str, str]:
    """Without the server's secrets, and without thread pools that only cost memory."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {**kept, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _listen(child: subprocess.Popen[bytes], deadline: float) -> tuple[bytes, bytes]:
    """Read both of its outputs until it closes them."""
    assert child.stdout is not None  # noqa: S101 - tells the type checker what PIPE means
    assert child.stderr is not None  # noqa: S101
    heard: dict[int, bytearray] = {child.stdout.fileno(): bytearray(), child.stderr.fileno(): bytearray()}
    caps = {child.stdout.fileno(): ANSWER_CAP_BYTES, child.stderr.fileno(): _STDERR_CAP_BYTES}
    with selectors.DefaultSelector() as selector:
        for stream in (child.stdout, child.stderr):
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready and time.monotonic() >= deadline:
                raise ChildFailed(Reason.TIME, "it took longer than it may")
            for key, _ in ready:
                chunk = os.read(key.fd, _READ_BYTES)
                if not chunk:
                    selector.unregister(key.fileobj)
                heard[key.fd] += chunk[: caps[key.fd] - len(heard[key.fd])]
    return bytes(heard[_fd(child.stdout)]), bytes(heard[_fd(child.stderr)])


def _fd(stream: IO[bytes]) -> int:
    return stream.fileno()


def _failure(code: int, complaint: str, limits: Limits) -> ChildFailed:
    """The error for a child that ended with `code` (negative: the signal)."""
    if any(word in complaint.lower() for word in _OUT_OF_MEMORY_WORDS):
        return ChildFailed(Reason.MEMORY, f"it needs more memory than {limits.memory_bytes // 2**20} MiB")
    if code in {-signal.SIGXCPU, -signal.SIGKILL}:
        return ChildFailed(Reason.TIME, "it was killed, over its time or because the machine has no memory left")
    ending = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    last_line = complaint.strip().rpartition("\n")[2][:300]
    return ChildFailed(Reason.CRASH, f"it ended {ending}{': ' if last_line else ''}{last_line}")
