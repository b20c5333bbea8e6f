"""The file being restored: written beside its place, hashed on the way, put there only when it is right.

If power fails at any moment, the place holds what it held before or the whole new file. A `.<name>.<random>.partial`
beside it may be left, of no use.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from delta.arrays import Octets
from delta.errors import OutputMismatch, OutputUnwritable
from delta.format import Identity

_GATHERED_BYTES = 1 << 16
"""Pieces smaller than this are gathered: a system call and a call of the hash cost more than the copy."""


class Output:
    """One output. `write` appends, `finish` puts it in its place; leaving without that removes every trace of it."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._partial = out.parent / f".{out.name}.{os.urandom(8).hex()}.partial"
        self._digest = hashlib.sha256()
        self._pending = bytearray()
        self._fd = -1

    def __enter__(self) -> Self:
        with self._typed():
            self._fd = os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._partial.unlink(missing_ok=True)

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
        """Compare the digest, make the file durable, rename it to its place.

        Raises:
            OutputMismatch: other bytes were written than `target`'s.
            OutputUnwritable: the disk is full, or the like.
        """
        self._flush()
        check_digest(target, self._digest.hexdigest())
        with self._typed():
            os.fsync(self._fd)
            self._partial.replace(self._out)
            directory = os.open(self._out.parent, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)

    def _flush(self) -> None:
        if self._pending:
            self._append(memoryview(self._pending))
            self._pending = bytearray()

    def _append(self, octets: memoryview) -> None:
        self._digest.update(octets)
        with self._typed():
            while octets:
                octets = octets[os.write(self._fd, octets) :]

    @contextmanager
    def _typed(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputUnwritable(f"{self._out} could not be written: {error.strerror or error}") from error


def check_digest(target: Identity, actual: str) -> None:
    """Raise `OutputMismatch` where `actual` is not the sha256 of `target`."""
    if actual != target.sha256:
        raise OutputMismatch(target.sha256, actual)
