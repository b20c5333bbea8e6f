"""The limits that a child process puts on itself before it imports anything heavy or opens what it was given.

Every child of this project is confined by this one function, called at the top of its `main`: limits set before the work hold for
all of it, and nothing runs between fork and exec, which would be unsafe in a threaded parent.
"""

import os
import resource
import signal
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ctypes

# A daemon that was given a control group (cgroup v2) keeps itself and its children in two groups of these names.
DAEMON_GROUP = "smallfleet-daemon"
CHILDREN_GROUP = "smallfleet-children"

# ioprio_set(2): the class above bit 13, in it a level. Best-effort 7 is served last of those that are served at all; a child in
# the idle class could wait for ever on a busy disk.
_IO_PRIORITY = (2 << 13) | 7
_IOPRIO_WHO_PROCESS = 1
# glibc has no function for it: the numbers of the system call, from the kernel's tables of each architecture.
_SYS_IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "armv7l": 314, "armv6l": 314, "riscv64": 30}
_PR_SET_PDEATHSIG = 1  # prctl(2), linux/prctl.h
_PR_SET_NO_NEW_PRIVS = 38


def confine(
    *,
    parent_pid: int,
    nice: int,
    cpu_s: int,
    file_bytes: int,
    data_bytes: int | None = None,
    address_space_bytes: int | None = None,
    open_files: int | None = None,
) -> None:
    """Limit this process, let it die with its parent, and let it gain no privilege.

    Args:
        parent_pid: who started it; if that process is gone already, this one ends here.
        nice: added to its niceness; a child that gives way at the CPU does so at the disk too.
        cpu_s: CPU time, in seconds.
        file_bytes: the largest file it may write.
        data_bytes: heap and private writable maps (RLIMIT_DATA, since Linux 4.7). The bound for what loads big libraries: those and reserved
            address space differ by hundreds of MiB between machines.
        address_space_bytes: everything mapped (RLIMIT_AS).
        open_files: file descriptors.

    Raises:
        OSError: the kernel refused; the caller must not go on.
    """
    import ctypes  # here: the daemon that starts confined children knows this module too, and is to stay small

    libc = ctypes.CDLL(None, use_errno=True)
    # The death signal follows the *thread* that started us; a server's request thread waits for our answer, so it lives.
    for option, value in ((_PR_SET_PDEATHSIG, signal.SIGKILL), (_PR_SET_NO_NEW_PRIVS, 1)):
        if libc.prctl(option, value, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent_pid:  # it ended before the death signal was asked for
        os.kill(os.getpid(), signal.SIGKILL)
    os.nice(nice)
    if nice > 0:
        _give_way_at_the_disk(libc)
    _join_children()
    for which, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, open_files),
        (resource.RLIMIT_DATA, data_bytes),
        (resource.RLIMIT_AS, address_space_bytes),
    ):
        if most is not None:
            _lower(which, most)


def _lower(which: int, most: int) -> None:
    hard = resource.getrlimit(which)[1]
    limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(which, (limit, limit))


def _give_way_at_the_disk(libc: "ctypes.CDLL") -> None:
    """Set the priority of reads and writes; on an architecture that is not known here it stays as it is."""
    import ctypes

    number = _SYS_IOPRIO_SET.get(os.uname().machine)
    if number is not None and libc.syscall(number, _IOPRIO_WHO_PROCESS, 0, _IO_PRIORITY) != 0:
        raise OSError(ctypes.get_errno(), "ioprio_set")


def own_group(root: Path = Path("/sys/fs/cgroup"), listing: Path = Path("/proc/self/cgroup")) -> Path | None:
    """The control group of this process, where cgroup v2 is all the machine has; None elsewhere."""
    if not (root / "cgroup.controllers").is_file():
        return None
    paths = (line.removeprefix("0::") for line in listing.read_text().splitlines() if line.startswith("0::"))
    return next((root / path.lstrip("/") for path in paths), None)


def _join_children() -> None:
    """Move to the children's group, where the daemon that started this process has one."""
    group = own_group()
    if group is not None and group.name == DAEMON_GROUP:
        (group.parent / CHILDREN_GROUP / "cgroup.procs").write_text("0")
