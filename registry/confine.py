"""The limits that a child puts on itself before it imports anything heavy or opens what it was given."""

import ctypes
import json
import os
import resource
import signal
from typing import Any

_PR_SET_PDEATHSIG = 1  # prctl(2)
_OPEN_FILES = 64
# Libraries, thread stacks and reserved address space; the file that is looked at is mapped too.
_ADDRESS_SPACE_EXTRA_BYTES = 4 * 1024**3


def confine(told: str) -> None:
    """Apply the limits that `registry.children.run_child` wrote as JSON, and die when the parent dies.

    Memory is bounded by RLIMIT_DATA (since Linux 4.7: heap and private writable maps). RLIMIT_AS counts libraries and
    reserved address space too, which differ by hundreds of MiB between machines, so it is only the outer fence.
    """
    limits: dict[str, Any] = json.loads(told)
    _die_with(int(limits["parent_pid"]))
    os.nice(int(limits["nice"]))
    memory_bytes = int(limits["memory_bytes"])
    for which, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, int(limits["timeout_s"]) + 5),
        (resource.RLIMIT_FSIZE, int(limits["file_bytes"])),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_DATA, memory_bytes),
        (resource.RLIMIT_AS, memory_bytes + _ADDRESS_SPACE_EXTRA_BYTES),
    ):
        _lower(which, value)


def _lower(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (limit, limit))


def _die_with(parent_pid: int) -> None:
    """The death signal follows the *thread* that started us; the server's request thread waits for our answer, so it lives."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:  # it died before the line above
        os.kill(os.getpid(), signal.SIGKILL)
