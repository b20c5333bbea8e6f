"""What a child does to itself before it touches bytes that somebody else made.

Called at the top of a child's `main`, before numpy is imported: limits that are set earlier than the work hold for all of
it.
"""

import ctypes
import os
import resource
import signal

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PR_SET_NO_NEW_PRIVS = 38
_MIB = 1 << 20


def confine(*, memory_limit_mib: int, cpu_s: int, file_bytes: int, nice: int) -> None:
    """Limit this process in memory, CPU time, file size and descriptors; die with the parent; gain no privilege.

    Raises:
        OSError: the kernel refused; the caller must not go on.
    """
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((_PR_SET_PDEATHSIG, signal.SIGKILL), (_PR_SET_NO_NEW_PRIVS, 1)):
        if libc.prctl(option, value, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        os._exit(1)  # the agent ended before the death signal was asked for
    os.nice(nice)
    for limit, most in (
        (resource.RLIMIT_AS, memory_limit_mib * _MIB),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        _soft, hard = resource.getrlimit(limit)
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (allowed, allowed))
