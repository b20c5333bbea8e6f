"""A store in a folder: the default, and all that one machine needs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from registry.storage.base import Staged, StoredFile, digest_path, full_disk_refused

STAGING = "staging"
ARTIFACTS = "sha256"


class _Part:
    """An open file that ends early."""

    def __init__(self, path: Path, start: int, end: int | None) -> None:
        self._file = path.open("rb", buffering=0)
        self._file.seek(start)
        self._left = None if end is None else max(0, end - start)

    def read(self, size: int = -1, /) -> bytes:
        if self._left is not None:
            size = self._left if size < 0 else min(size, self._left)
        chunk = self._file.read(size)
        if self._left is not None:
            self._left -= len(chunk)
        return chunk

    def close(self) -> None:
        self._file.close()


class FolderStore:
    """`<root>/sha256/ab/cd/<digest>`, and `<root>/staging/` on the same filesystem so that a commit is one rename."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def staging(self) -> Path:
        return self.root / STAGING

    @property
    def artifacts(self) -> Path:
        """The folder of what was committed."""
        return self.root / ARTIFACTS

    def _path(self, sha256: str) -> Path:
        return self.artifacts / digest_path(sha256)

    def stage(self) -> Staged:
        return Staged(self.staging)

    def commit(self, staged: Staged, sha256: str) -> None:
        staged.finish()
        target = self._path(sha256)
        with full_disk_refused():
            created = _make_folders(target.parent)
            staged.path.chmod(0o444)
            staged.path.replace(target)
            for folder in (target.parent, *created):
                _sync_folder(folder)

    def open(self, sha256: str, start: int = 0, end: int | None = None) -> _Part:
        return _Part(self._path(sha256), start, end)

    @contextmanager
    def as_file(self, sha256: str) -> Iterator[Path]:
        path = self._path(sha256)
        path.stat()
        yield path

    def exists(self, sha256: str) -> bool:
        return self._path(sha256).is_file()

    def size(self, sha256: str) -> int:
        return self._path(sha256).stat().st_size

    def delete(self, sha256: str) -> None:
        self._path(sha256).unlink()

    def url(self, sha256: str, filename: str | None = None) -> str | None:
        return None

    def files(self) -> Iterator[StoredFile]:
        for path in (self.artifacts).glob("??/??/*"):
            try:
                status = path.stat()
            except FileNotFoundError:  # removed between the listing and here
                continue
            yield StoredFile(path.name, status.st_size, status.st_mtime)


def _make_folders(folder: Path) -> list[Path]:
    """Create what is missing on the way to `folder`; returns the folders whose entries changed."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
    return [path.parent for path in missing]


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
