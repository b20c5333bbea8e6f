"""One question to one fresh child process, and its answer.

The child is `python -m benchmarks.child` in a session of its own. It is told its limits in the request and sets them
before it imports anything heavy: nothing has to run between fork and exec, which would be unsafe in a threaded parent.
Request and answer go through memory files, so that neither side can block the other on a full pipe, and what the child
writes is capped by its own file size limit. Whatever happens here, the child's process group is gone at the end.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from benchmarks.errors import BenchmarkError, ChildCrashed, ChildTimedOut, MemoryExceeded, error_classes

ANSWER_CAP_BYTES = 1 << 20
_STDERR_TAIL_BYTES = 400
# What C++ and Python write when an allocation fails and nobody catches it.
_OUT_OF_MEMORY_WORDS = ("bad_alloc", "MemoryError", "Failed to allocate memory", "Memory allocation still failed")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one child may use.

    `memory_bytes` bounds private writable memory (RLIMIT_DATA), not mapped files; `file_bytes` each file it writes, its answer included.
    """

    timeout_s: float
    memory_bytes: int | None = None
    nice: int = 0
    threads: int = 1
    file_bytes: int = ANSWER_CAP_BYTES

    def as_request(self) -> dict[str, Any]:
        """The part of the request that the child applies to itself."""
        return {
            "data_bytes": self.memory_bytes,
            "nice": self.nice,
            # A backstop should this process die without killing the child; the wall clock above is what normally ends it.
            "cpu_s": int(self.timeout_s * max(1, self.threads)) + 5,
            "file_bytes": self.file_bytes,
            "parent_pid": os.getpid(),
        }


def ask_child(task: str, request: Mapping[str, Any], *, limits: Limits) -> dict[str, Any]:
    """Start a child for `task`, wait for its answer, return it.

    Raises:
        BenchmarkError: the subclass that the child named, or ChildTimedOut, ChildCrashed, MemoryExceeded.
    """
    question = {"task": task, "limits": limits.as_request(), **request}
    with _memory_file("request") as stdin, _memory_file("answer") as stdout, _memory_file("errors") as stderr:
        stdin.write(json.dumps(question).encode())
        stdin.seek(0)
        return_code = _run(stdin, stdout, stderr, limits.timeout_s)
        return _answer(return_code, _read(stdout), _tail(stderr), limits)


def _run(stdin: BinaryIO, stdout: BinaryIO, stderr: BinaryIO, timeout_s: float) -> int:
    """Run the child to its end or its timeout and return its exit code."""
    # -P: the working directory is not searched for modules, a file named numpy.py there must not run.
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "benchmarks.child"],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=_child_environment(),
        start_new_session=True,
    ) as child:
        try:
            return child.wait(timeout_s)
        except subprocess.TimeoutExpired as late:
            raise ChildTimedOut(f"no answer after {timeout_s:g} s; the measuring process was killed") from late
        finally:
            # Also after a normal end: what the child may have started must not outlive it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)


def _child_environment() -> dict[str, str]:
    # BLAS pools of numpy would add threads and memory to what is measured; the runtime has its own setting.
    pools = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    # The model's bytes are not trusted: tokens in our settings are no business of a process that parses them.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SMALLFLEET_")}
    return {**inherited, **pools}


def _answer(return_code: int, stdout: bytes, stderr_tail: str, limits: Limits) -> dict[str, Any]:
    if return_code != 0:
        if limits.memory_bytes is not None and any(word in stderr_tail for word in _OUT_OF_MEMORY_WORDS):
            raise MemoryExceeded(memory_message(limits.memory_bytes))
        raise ChildCrashed.of_exit(return_code, stderr_tail)
    try:
        answer: dict[str, Any] = json.loads(stdout)
    except ValueError as error:
        raise ChildCrashed(f"the measuring process gave no readable answer: {error}") from error
    if "error" in answer:
        raise error_classes().get(answer["error"]["slug"], BenchmarkError)(answer["error"]["message"])
    result: dict[str, Any] = answer["result"]
    return result


def memory_message(limit_bytes: int | None) -> str:
    """What to tell a person whose model did not fit."""
    limit = "what the system gives" if limit_bytes is None else f"its limit of {limit_bytes / 2**20:.0f} MiB"
    return f"the model needs more memory than {limit}; raise the limit or choose a smaller variant"


def _memory_file(name: str) -> BinaryIO:
    return os.fdopen(os.memfd_create(f"smallfleet-bench-{name}"), "w+b")


def _read(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read(ANSWER_CAP_BYTES)


def _tail(file: BinaryIO) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _STDERR_TAIL_BYTES))
    return " ".join(file.read().decode(errors="replace").split())
