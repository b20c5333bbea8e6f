"""The limits that a measuring process puts on itself, before it imports anything heavy or opens the model."""

import ctypes
import os
import resource
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1  # prctl(2)


def apply(limits: Mapping[str, Any]) -> None:
    """Set niceness and resource limits, and die when the parent dies.

    Memory is bounded by RLIMIT_DATA (since Linux 4.7: heap and private writable maps) because RLIMIT_AS would also
    count libraries and reserved address space, which differ by hundreds of MiB between builds of the runtime.
    """
    _die_with(int(limits["parent_pid"]))
    if limits["nice"]:
        os.nice(int(limits["nice"]))
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_CPU, int(limits["cpu_s"]))
    _lower(resource.RLIMIT_FSIZE, int(limits["file_bytes"]))
    if limits["memory_bytes"] is not None:
        _lower(resource.RLIMIT_DATA, int(limits["memory_bytes"]))


def _lower(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (limit, limit))


def _die_with(parent_pid: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:  # it died before the line above
        os.kill(os.getpid(), signal.SIGKILL)


def pin(threads: int, *, cpu_root: Path = Path("/sys/devices/system/cpu")) -> list[int]:
    """Bind this process to `threads` CPUs, the strongest first, and return the CPUs it may run on.

    On a big.LITTLE board `cpu_capacity` says which cores are the fast ones; elsewhere the highest numbers are taken,
    since interrupts mostly land on the lowest.
    """
    by_strength = sorted(allowed_cpus(), key=lambda cpu: (_capacity(cpu_root, cpu), cpu), reverse=True)
    os.sched_setaffinity(0, by_strength[: max(1, threads)])
    return allowed_cpus()


def allowed_cpus() -> list[int]:
    """The CPUs this process may run on."""
    return sorted(os.sched_getaffinity(0))


def _capacity(cpu_root: Path, cpu: int) -> int:
    try:
        return int((cpu_root / f"cpu{cpu}" / "cpu_capacity").read_text())
    except (OSError, ValueError):
        return 0
