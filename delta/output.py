"""The file being restored: written beside its place, hashed on the way, put there only when it is right.

If power fails at any moment, the place holds what it held before or the whole new file. A `.<name>.<random>.partial`
beside it may be left, of no use.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from delta.arrays import Octets
from delta.errors import OutputMismatch, OutputUnwritable
from delta.format import Identity

_GATHERED_BYTES = 1 << 16
"""Pieces smaller than this are gathered: a system call and a call of the hash cost more than the copy."""


class Sink:
    """An open file that an output is written to. `write` appends; `finish` ends it and says whether it is right.

    It needs nothing but the descriptor, for a process that may open nothing any more.
    """

    def __init__(self, fd: int, name: str) -> None:
        self._fd = fd
        self._name = name
        self._digest = hashlib.sha256()
        self._pending = bytearray()

    def write(self, piece: Octets) -> None:
        """Append.

        Raises:
            OutputUnwritable: the disk is full, or the like.
        """
        if piece.size < _GATHERED_BYTES:
            self._pending += piece.data
        if piece.size >= _GATHERED_BYTES or len(self._pending) >= _GATHERED_BYTES:
            self._flush()
        if piece.size >= _GATHERED_BYTES:
            self._append(piece.data)

    def finish(self, target: Identity) -> None:
        """Compare the digest and make the bytes durable.

        Raises:
            OutputMismatch: other bytes were written than `target`'s.
            OutputUnwritable: the disk is full, or the like.
        """
        self._flush()
        check_digest(target, self._digest.hexdigest())
        with _typed(self._name):
            os.fsync(self._fd)

    def _flush(self) -> None:
        if self._pending:
            self._append(memoryview(self._pending))
            self._pending = bytearray()

    def _append(self, octets: memoryview) -> None:
        self._digest.update(octets)
        with _typed(self._name):
            while octets:
                octets = octets[os.write(self._fd, octets) :]


@contextmanager
def created(path: Path, *, told_as: Path | None = None) -> Iterator[Sink]:
    """A new file at `path`, which must not be there; what a failure leaves is the caller's to remove. Errors may name another place.

    Raises:
        OutputUnwritable: it cannot be made.
    """
    name = str(told_as or path)
    with _typed(name):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        yield Sink(fd, name)
    finally:
        os.close(fd)


@contextmanager
def replaced(out: Path) -> Iterator[Sink]:
    """A new file that takes the place `out` in one durable rename when the block ends well; otherwise every trace of it is removed.

    Raises:
        OutputUnwritable: the disk is full, or the like.
    """
    partial = out.parent / f".{out.name}.{os.urandom(8).hex()}.partial"
    try:
        with created(partial, told_as=out) as sink:
            yield sink
        with _typed(str(out)):
            partial.replace(out)
            _sync_folder(out.parent)
    finally:
        partial.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def _typed(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputUnwritable(f"{name} could not be written: {error.strerror or error}") from error


def check_digest(target: Identity, actual: str) -> None:
    """Raise `OutputMismatch` where `actual` is not the sha256 of `target`."""
    if actual != target.sha256:
        raise OutputMismatch(target.sha256, actual)
