"""A filter of system calls (seccomp, classic BPF) that a child puts on itself; it cannot be taken off again.

Each profile is a list of what is allowed. Everything else fails with EPERM, so that a program that probes goes on and says what
it could not do; a call by another architecture's table (x32, 32-bit), which the numbers here say nothing about, kills the
process. A call that is newer than the table below fails with ENOSYS, which is what a C library expects of an older kernel.

Sources: linux/seccomp.h, linux/filter.h, linux/audit.h; numbers from asm/unistd_64.h and asm-generic/unistd.h (Linux 6.1).
"""

import ctypes
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

# name: (x86-64, aarch64); None where the architecture has no such call.
NUMBERS: dict[str, tuple[int | None, int | None]] = {
    # The decoder's daily bread first: a kernel before 5.11 goes through the list from the top at each call.
    "read": (0, 63),
    "pread64": (17, 67),
    "write": (1, 64),
    "mmap": (9, 222),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "brk": (12, 214),
    "futex": (202, 98),
    "close": (3, 57),
    "fstat": (5, 80),
    "newfstatat": (262, 79),
    "lseek": (8, 62),
    "mprotect": (10, 226),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "tgkill": (234, 131),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101),
    "restart_syscall": (219, 128),
    "fsync": (74, 82),
    "fdatasync": (75, 83),
    "getrandom": (318, 278),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "getrusage": (98, 165),
    # What programs that read and write files need besides.
    "open": (2, None),
    "openat": (257, 56),
    "readv": (19, 65),
    "writev": (20, 66),
    "pwrite64": (18, 68),
    "preadv": (295, 69),
    "pwritev": (296, 70),
    "stat": (4, None),
    "lstat": (6, None),
    "statx": (332, 291),
    "access": (21, None),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "getdents64": (217, 61),
    "getcwd": (79, 17),
    "dup": (32, 23),
    "dup2": (33, None),
    "dup3": (292, 24),
    "fcntl": (72, 25),
    "ioctl": (16, 29),
    "ftruncate": (77, 46),
    "fallocate": (285, 47),
    "fadvise64": (221, 223),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "rmdir": (84, None),
    "symlink": (88, None),
    "symlinkat": (266, 36),
    "flock": (73, 32),
    "umask": (95, 166),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "uname": (63, 160),
    "sysinfo": (99, 179),
    "times": (100, 153),
    "statfs": (137, 43),
    "fstatfs": (138, 44),
    "getppid": (110, 173),
    "clone": (56, 220),
    "clone3": (435, 435),
    "set_robust_list": (273, 99),
    "rseq": (334, 293),
    "poll": (7, None),
    "ppoll": (271, 73),
    "pipe2": (293, 59),
    "membarrier": (324, 283),
}
NEWEST_NUMBER = 450  # of the tables these were taken from, on both architectures
_FILE_CALLS_FROM = "open"

AT_EMPTY_PATH = 0x1000  # linux/fcntl.h
PROT_EXEC = 0x4  # asm-generic/mman-common.h
FIOCLEX = 0x5451  # asm-generic/ioctls.h
CLONE_THREAD = 0x10000  # linux/sched.h: without it, a new process

ALLOW, KILL, REFUSE, UNKNOWN = 0x7FFF0000, 0x80000000, 0x00050000 | 1, 0x00050000 | 38  # EPERM 1, ENOSYS 38

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = (
    0x20,
    0x15,
    0x35,
    0x45,
    0x06,
)  # BPF_LD|W|ABS; BPF_JMP|JEQ, JGE, JSET with BPF_K; BPF_RET
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = (
    0,
    4,
    16,
)  # struct seccomp_data; arguments of 8 bytes, low half first on both
_X32_BIT = 0x40000000

_PR_SET_NO_NEW_PRIVS = 38
_SET_MODE_FILTER, _GET_ACTION_AVAIL, _FLAG_TSYNC = 1, 2, 1


@dataclass(frozen=True, slots=True)
class Architecture:
    """What tells a table of system calls apart: its column above, its AUDIT_ARCH number, the number of seccomp(2)."""

    column: int
    audit: int
    seccomp: int


ARCHITECTURES = {
    "x86_64": Architecture(0, 0xC000003E, 317),
    "aarch64": Architecture(1, 0xC00000B7, 277),
}


@dataclass(frozen=True, slots=True)
class Instruction:
    """One of classic BPF: struct sock_filter."""

    code: int
    if_true: int
    if_false: int
    operand: int


@dataclass(frozen=True, slots=True)
class Check:
    """What the low half of one argument must be for its call to be allowed: `bits` of it, masked, equal to `value`."""

    argument: int
    bits: int
    value: int


@dataclass(frozen=True, slots=True)
class Profile:
    """Which calls are allowed, some only with a certain argument; some are answered as if the kernel did not know them."""

    allowed: tuple[str, ...]
    checks: dict[str, Check]
    unknown: tuple[str, ...] = ()


def descriptors_only(pid: int) -> Profile:
    """Nothing but reading, writing and mapping what is open already, for the process `pid`: no opening, no code that was data."""
    names = tuple(NUMBERS)
    return Profile(
        allowed=names[: names.index(_FILE_CALLS_FROM)],
        checks={
            "newfstatat": Check(3, AT_EMPTY_PATH, AT_EMPTY_PATH),  # glibc's fstat(); at worst it tells a file's size
            "mmap": Check(2, PROT_EXEC, 0),
            "mprotect": Check(2, PROT_EXEC, 0),
            "tgkill": Check(0, 0xFFFFFFFF, pid),  # abort()
        },
    )


def files(pid: int) -> Profile:
    """Also files by their paths, which this filter cannot tell apart, imports and threads: no network, no other process."""
    return Profile(
        allowed=tuple(NUMBERS),
        checks={
            "tgkill": Check(0, 0xFFFFFFFF, pid),
            "clone": Check(0, CLONE_THREAD, CLONE_THREAD),
            "ioctl": Check(
                1, 0xFFFFFFFF, FIOCLEX
            ),  # Python's way to a file that no child inherits, as its tempfile module opens them
        },
        unknown=("clone3",),  # its flags are in memory, out of a filter's sight; the C library then takes clone
    )


def program(profile: Profile, architecture: Architecture) -> tuple[Instruction, ...]:
    """The filter's instructions."""
    return tuple(_instructions(profile, architecture))


def _instructions(profile: Profile, architecture: Architecture) -> Iterator[Instruction]:
    yield _load(_ARCHITECTURE_AT)
    yield Instruction(_EQUAL, 1, 0, architecture.audit)
    yield _return(KILL)
    yield _load(_NUMBER_AT)
    yield Instruction(_AT_LEAST, 0, 1, _X32_BIT)
    yield _return(KILL)
    for name in profile.allowed:
        number = NUMBERS[name][architecture.column]
        if number is not None:
            body = tuple(_verdict(name, profile))
            yield Instruction(_EQUAL, 0, len(body), number)
            yield from body
    yield Instruction(_AT_LEAST, 0, 1, NEWEST_NUMBER + 1)
    yield _return(UNKNOWN)
    yield _return(REFUSE)


def _verdict(name: str, profile: Profile) -> Iterator[Instruction]:
    """What follows when the number matched; every way through it returns."""
    if name in profile.unknown:
        yield _return(UNKNOWN)
        return
    check = profile.checks.get(name)
    if check is not None:
        yield _load(_ARGUMENTS_AT + 8 * check.argument)
        if check.bits == 0xFFFFFFFF:
            yield Instruction(_EQUAL, 1, 0, check.value)
        else:
            is_wanted = check.value == check.bits
            yield Instruction(_ANY_BIT, int(is_wanted), int(not is_wanted), check.bits)
        yield _return(REFUSE)
    yield _return(ALLOW)


def _load(offset: int) -> Instruction:
    return Instruction(_LOAD, 0, 0, offset)


def _return(verdict: int) -> Instruction:
    return Instruction(_RETURN, 0, 0, verdict)


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def is_available() -> bool:
    """Whether this kernel takes filters, on an architecture that is known here; asks, and changes nothing."""
    architecture = ARCHITECTURES.get(os.uname().machine)
    if architecture is None:
        return False
    action = ctypes.c_uint32(REFUSE & 0xFFFF0000)
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.syscall(architecture.seccomp, _GET_ACTION_AVAIL, 0, ctypes.byref(action)) == 0)


def install(profile: Profile) -> None:
    """Filter all threads of this process from now on.

    Raises:
        OSError: the kernel refused, or the architecture is not known here; the caller decides whether it goes on.
    """
    architecture = ARCHITECTURES.get(os.uname().machine)
    if architecture is None:
        raise OSError(38, f"no table of system calls for {os.uname().machine}")
    encoded = _encoded(program(profile, architecture))
    held = ctypes.create_string_buffer(encoded, len(encoded))
    told = _Program(len(encoded) // 8, ctypes.addressof(held))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    thread = libc.syscall(architecture.seccomp, _SET_MODE_FILTER, _FLAG_TSYNC, ctypes.byref(told))
    if thread != 0:  # -1 an error, more the thread that could not be filtered
        raise OSError(ctypes.get_errno(), f"seccomp: {thread}")


def _encoded(instructions: Iterable[Instruction]) -> bytes:
    return b"".join(struct.pack("=HBBI", one.code, one.if_true, one.if_false, one.operand) for one in instructions)
