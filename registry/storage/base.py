"""What every store offers, and the staged file that all of them begin with.

Names in a store come from digests that were checked, never from a client. A store says `FileNotFoundError` for what it
does not have, `StoreFull` where there is no room, and `StoreUnavailable` when it cannot be reached.
"""

import errno
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from registry.errors import StoreFull
from registry.models import SHA256_PATTERN

STAGED_PREFIX = "staged-"
_SHA256 = re.compile(SHA256_PATTERN)
# EFBIG: the file would pass the process's or the filesystem's largest size, which is a full disk to whoever writes.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def digest_path(sha256: str) -> str:
    """The name of an artifact inside a store: `ab/cd/<64 hex digits>`, so that no folder grows beyond reason.

    Raises:
        ValueError: this is no digest.
    """
    if not _SHA256.fullmatch(sha256):
        raise ValueError(f"{sha256[:80]!r} is no SHA-256 in lower-case hexadecimal digits")
    return f"{sha256[:2]}/{sha256[2:4]}/{sha256}"


@contextmanager
def full_disk_refused() -> Iterator[None]:
    """Turn "no space left" in any of its spellings into `StoreFull`."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StoreFull("the server's disk has no room for this file; free some space and send it again") from error
        raise


class Readable(Protocol):
    """An open artifact, or a part of one."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, at most `size`; empty at the end."""

    def close(self) -> None:
        """Let go of it."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that a store holds, as its listing says."""

    sha256: str
    size_bytes: int
    modified_at: float
    """Seconds since the epoch."""


class Staged:
    """A file that is written, waits for its check and becomes an artifact; used with `with`, which removes what is left of it."""

    def __init__(self, folder: Path) -> None:
        with full_disk_refused():
            folder.mkdir(parents=True, exist_ok=True)
            self._fd, name = tempfile.mkstemp(prefix=STAGED_PREFIX, dir=folder)
        self.path = Path(name)
        self._open = True

    def write(self, chunk: bytes) -> None:
        """Append.

        Raises:
            StoreFull: there is no room.
        """
        rest = memoryview(chunk)
        with full_disk_refused():
            while rest:
                rest = rest[os.write(self._fd, rest) :]

    def finish(self) -> None:
        """Make the bytes durable and close the file; it can be read by others from here on.

        Raises:
            StoreFull: there is no room (some filesystems say so only now).
        """
        if self._open:
            with full_disk_refused():
                os.fsync(self._fd)
                self._close()

    def _close(self) -> None:
        self._open = False
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open:
            self._close()
        self.path.unlink(missing_ok=True)


def sweep_staging(folder: Path, older_than_s: float) -> list[Path]:
    """Remove the staged files of processes that died; returns what was removed."""
    removed = []
    # Leading characters too: the encoder writes beside its output, under its name with a dot before it.
    for path in folder.glob(f"*{STAGED_PREFIX}*"):
        try:
            if path.stat().st_mtime < time.time() - older_than_s:
                path.unlink()
                removed.append(path)
        except FileNotFoundError:  # its upload ended between the listing and here
            continue
    return removed


class ArtifactStore(Protocol):
    """Bytes by digest. Whoever calls has checked the bytes against the digest."""

    @property
    def staging(self) -> Path:
        """The local folder of staged files."""

    def stage(self) -> Staged:
        """A new file to write to.

        Raises:
            StoreFull: there is no room.
        """

    def commit(self, staged: Staged, sha256: str) -> None:
        """Put the staged file in its place, durably. Putting the same bytes again is harmless.

        If power fails, the store has the whole file or does not have it.

        Raises:
            StoreFull: there is no room.
        """

    def open(self, sha256: str, start: int = 0, end: int | None = None) -> Readable:
        """The bytes from `start` up to and without `end`.

        Raises:
            FileNotFoundError: the store does not have it.
        """

    def as_file(self, sha256: str) -> AbstractContextManager[Path]:
        """A local path to read the artifact from, valid inside the `with`. Not to be written to.

        Raises:
            FileNotFoundError: the store does not have it.
        """

    def exists(self, sha256: str) -> bool:
        """Whether the store has it."""

    def size(self, sha256: str) -> int:
        """Its size in bytes.

        Raises:
            FileNotFoundError: the store does not have it.
        """

    def delete(self, sha256: str) -> None:
        """Remove it.

        Raises:
            FileNotFoundError: the store does not have it.
        """

    def url(self, sha256: str, filename: str | None = None) -> str | None:
        """An address where anybody may fetch it for some minutes; None where this server has to serve it."""

    def files(self) -> Iterator[StoredFile]:
        """Everything in the store, in no order."""
