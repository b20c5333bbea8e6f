"""How a child that looks at bytes from outside shuts itself in: no network, no other process, and only the files it is to see.

The order in every such child: limits (`benchmarks.confine`), imports, opening what it was given, then one of the two functions
here, and only then the first look at a byte that is not trusted. Two locks of the kernel, neither of which needs a privilege:
a filter of system calls, which is the one that counts, and Landlock, which tells paths apart where the kernel has it.
"""

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import landlock, seccomp

_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/etc/ld.so.cache", "/usr/share/zoneinfo", "/dev/urandom")


class SandboxUnavailable(Exception):
    """The kernel has no filter of system calls, or refused it, and the caller may not go on without one."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What shuts this process in: the filter of system calls, and the version of Landlock, 0 for none."""

    seccomp: bool
    landlock: int

    def described(self) -> str:
        """For a person."""
        calls = "system calls are filtered" if self.seccomp else "system calls are NOT filtered (no seccomp)"
        paths = (
            f"paths are limited (Landlock {self.landlock})" if self.landlock else "paths are not limited (no Landlock)"
        )
        return f"{calls}, {paths}"


def available() -> Sandbox:
    """What this kernel offers; nothing is changed."""
    return Sandbox(seccomp.is_available(), landlock.version())


def keep_descriptors(*, required: bool) -> Sandbox:
    """Leave this process what it has open, memory, and its end. Everything that is still to be imported must be by now.

    Raises:
        SandboxUnavailable: it is required, and the kernel cannot.
    """
    limited = landlock.restrict(readable=(), writable=())
    return Sandbox(_filtered(seccomp.descriptors_only(os.getpid()), required=required), limited)


def keep_paths(*, readable: Iterable[Path], writable: Iterable[Path], required: bool) -> Sandbox:
    """Leave this process files, threads and imports, but no network and no other process.

    Of files only `readable`, `writable` and what the interpreter itself reads, where the kernel has Landlock. Without it
    all files of this user are within reach: say so where it matters.

    Raises:
        SandboxUnavailable: the filter is required, and the kernel cannot.
        OSError: one of the paths cannot be opened.
    """
    limited = landlock.restrict(readable=(*readable, *_interpreter()), writable=writable)
    return Sandbox(_filtered(seccomp.files(os.getpid()), required=required), limited)


def _filtered(profile: seccomp.Profile, *, required: bool) -> bool:
    try:
        seccomp.install(profile)
    except OSError as error:
        if required:
            raise SandboxUnavailable(f"no filter of system calls: {error.strerror}") from error
        return False
    return True


def _interpreter() -> list[Path]:
    """Where late imports, libraries and time zones come from."""
    places = (*_LIBRARIES, sys.prefix, sys.base_prefix, *sys.path)
    return [path for path in map(Path, dict.fromkeys(places)) if path.is_absolute() and path.exists()]
