"""Which CPUs a measuring process runs on."""

import os
from pathlib import Path


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
