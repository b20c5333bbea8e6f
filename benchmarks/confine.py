"""The limits that a child process puts on itself before it imports anything heavy or opens what it was given.

Every child of this project is confined by this one function, called at the top of its `main`: limits set before the work hold for
all of it, and nothing runs between fork and exec, which would be unsafe in a threaded parent.
"""

import ctypes
import os
import resource
import signal

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
        nice: added to its niceness.
        cpu_s: CPU time, in seconds.
        file_bytes: the largest file it may write.
        data_bytes: heap and private writable maps (RLIMIT_DATA, since Linux 4.7). The bound for what loads big libraries: those and reserved
            address space differ by hundreds of MiB between machines.
        address_space_bytes: everything mapped (RLIMIT_AS).
        open_files: file descriptors.

    Raises:
        OSError: the kernel refused; the caller must not go on.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    # The death signal follows the *thread* that started us; a server's request thread waits for our answer, so it lives.
    for option, value in ((_PR_SET_PDEATHSIG, signal.SIGKILL), (_PR_SET_NO_NEW_PRIVS, 1)):
        if libc.prctl(option, value, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent_pid:  # it ended before the death signal was asked for
        os.kill(os.getpid(), signal.SIGKILL)
    os.nice(nice)
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
