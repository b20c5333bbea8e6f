"""Which files a child may still reach, by their folders (Landlock, Linux 5.13 and later); it cannot be taken back.

Where the kernel has it, it also closes TCP (since 6.7) and signals to other processes (since 6.12); the filter of system calls
(`benchmarks.seccomp`) does both anyway, on every kernel.

Source: linux/landlock.h, and the list of versions in the kernel's Documentation/userspace-api/landlock.rst.
"""

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # on every architecture
_VERSION_FLAG = 1
_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE = 1 << 14
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG, _MAKE_SYM, _REFER = 1 << 4, 1 << 5, 1 << 7, 1 << 8, 1 << 12, 1 << 13
_READING = _READ_FILE | _READ_DIR
_WRITING = _WRITE_FILE | _TRUNCATE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _MAKE_SYM | _REFER
_OF_A_FILE = _WRITE_FILE | _READ_FILE | _TRUNCATE
_TCP = 0b11  # bind, connect
_SCOPES = 0b11  # abstract Unix sockets, signals


class _Ruleset(ctypes.Structure):
    """struct landlock_ruleset_attr."""

    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    """struct landlock_path_beneath_attr, which is packed."""

    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def version() -> int:
    """The version of the kernel's interface; 0 where it has none, or it is switched off."""
    return max(0, int(ctypes.CDLL(None).syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG)))


def restrict(*, readable: Iterable[Path], writable: Iterable[Path]) -> int:
    """Leave this process only these folders and files to open, the writable ones also to read; returns the interface's version.

    It holds for the calling thread and what it starts. 0 is returned, and nothing is restricted, on a kernel without it.

    Raises:
        OSError: a path cannot be opened, or the kernel refused; the caller must not go on.
        RuntimeError: there are other threads, which it would not hold for.
    """
    known = version()
    if known == 0:
        return 0
    if len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208 - counting, no paths wanted
        raise RuntimeError("landlock would not hold for the threads that run already")
    handled = _handled_files(known)
    libc = ctypes.CDLL(None, use_errno=True)
    ruleset = _Ruleset(handled, _TCP if known >= 4 else 0, _SCOPES if known >= 6 else 0)
    size_bytes = 8 if known < 4 else 16 if known < 6 else 24
    fd = _checked(libc.syscall(_CREATE_RULESET, ctypes.byref(ruleset), size_bytes, 0))
    try:
        for paths, rights in ((readable, _READING), (writable, _READING | _WRITING)):
            for path in paths:
                _allow(libc, fd, path, rights & handled)
        _checked(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _checked(libc.syscall(_RESTRICT_SELF, fd, 0))
    finally:
        os.close(fd)
    return known


def _handled_files(known: int) -> int:
    """All rights on files that this version knows; what is handled and not allowed is denied."""
    bits = 13 if known == 1 else 14 if known == 2 else 15 if known < 5 else 16
    return (1 << bits) - 1


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path, rights: int) -> None:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        is_folder = path.is_dir()
        rule = _Beneath(rights if is_folder else rights & _OF_A_FILE, fd)
        _checked(libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0))
    finally:
        os.close(fd)


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"landlock: {os.strerror(ctypes.get_errno())}")
    return result
