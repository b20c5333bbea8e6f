"""One benchmark at a time on one machine: two of them measure each other.

Several agents, or an agent and a person with `smallfleet bench`, may share a machine. A file lock of the user makes them take turns.
It is advice: whoever waited its whole time runs all the same, and the report's contention rules say what came of it.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOOK_AGAIN_S = 0.1


def lock_file() -> Path:
    """Where this user's processes on this machine meet."""
    import tempfile  # here: with what it imports it is half a mebibyte of an idle daemon that may never measure

    return Path(tempfile.gettempdir()) / f"smallfleet-bench-{os.getuid()}.lock"


@contextmanager
def turn(wait_s: float, *, path: Path | None = None) -> Iterator[bool]:
    """Hold the machine's turn while the context lasts; whether it was had within `wait_s` seconds.

    It is not had where the lock file cannot be opened either: a read-only disk, a link that somebody planted, another user's file.
    """
    descriptor = _opened(path or lock_file())
    if descriptor is None:
        yield False
        return
    try:
        yield _taken(descriptor, time.monotonic() + wait_s)
    finally:
        os.close(descriptor)


def _opened(path: Path) -> int | None:
    try:
        # O_NOFOLLOW: the folder is everybody's, and a link planted there must not be opened.
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return None


def _taken(descriptor: int, deadline: float) -> bool:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_LOOK_AGAIN_S)
        else:
            return True
