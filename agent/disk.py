"""Every change the agent makes on disk, and nothing else: so that all its crash points can be counted.

No other module of the agent opens a file for writing, renames, links or unlinks. Each primitive calls `point(name)` just
before it acts; killing the process at every point in turn is therefore the whole list of moments at which power can fail
(a kill after a primitive is a kill before the next one).

The order that makes a change durable is always: write under a new name, fsync the file, rename, fsync the directory.

**Test only:** with `SMALLFLEET_FAULT` set, a point fails on purpose:
`kill@17` (SIGKILL to itself at the 17th point), `enospc@17` (that primitive fails with ENOSPC), `enospc@17+` (it and all
after it, until the process ends), `erofs@1+` (a read-only disk), `enospc@append` (every point whose name begins so),
`room@4096` (the disk says that it has this many bytes free), `trace@/path` (append every point's name to a file).
"""

import errno
import itertools
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

FAULT_VARIABLE = "SMALLFLEET_FAULT"
# Removing gives room back, so a full disk does not refuse it; a read-only one does.
_REMOVALS = ("unlink", "rmdir")
_ROOM = "room@"

Fault = Callable[[int, str], None]


def _fault_from(text: str) -> Fault:
    """Read the test-only fault description; an empty one gives a fault that never fires."""
    if not text or text.startswith(_ROOM):
        return lambda _index, _name: None
    kind, _, where = text.partition("@")
    if kind == "trace":
        return lambda _index, name: _trace(where, name)

    def fire(index: int, name: str) -> None:
        if not _is_meant(where, index, name):
            return
        if kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        number = {"enospc": errno.ENOSPC, "erofs": errno.EROFS}[kind]
        if number == errno.EROFS or not name.startswith(_REMOVALS):
            raise OSError(number, os.strerror(number), name)

    return fire


def _is_meant(where: str, index: int, name: str) -> bool:
    first = where.removesuffix("+")
    if not first.isdecimal():
        return name.startswith(where)
    return index == int(first) or (where.endswith("+") and index > int(first))


def _trace(path: str, name: str) -> None:
    with Path(path).open("a") as lines:
        lines.write(name + "\n")


class _Points:
    """The count of points since the fault was set."""

    def __init__(self, text: str) -> None:
        self._fault = _fault_from(text)
        self._indices = itertools.count(1)
        self.free_bytes = int(text.removeprefix(_ROOM)) if text.startswith(_ROOM) else None

    def reach(self, name: str) -> None:
        self._fault(next(self._indices), name)


_points = [_Points(os.environ.get(FAULT_VARIABLE, ""))]


def inject(text: str) -> None:
    """Test only: set the fault of this process, as `SMALLFLEET_FAULT` would, and count from one again."""
    _points[0] = _Points(text)


def point(name: str) -> None:
    """Mark one moment at which power can fail."""
    _points[0].reach(name)


def free_bytes(path: Path) -> int | None:
    """Bytes that the agent may still write where `path` is; `None` where the file system does not say.

    What is reserved for root does not count, even for root: a full system disk is worth more than a new model.
    """
    if _points[0].free_bytes is not None:
        return _points[0].free_bytes
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize if found.f_blocks else None


def prove_durable(folder: Path) -> None:
    """Write and fsync a file that never has a name, or where the file system knows none such, one that is removed at once."""
    flags = os.O_RDWR | os.O_CLOEXEC
    trial = folder / f".trial-{os.getpid()}"
    point("write trial")
    try:
        descriptor = os.open(folder, flags | os.O_TMPFILE, 0o600)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT):
            raise
        descriptor = os.open(trial, flags | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        trial.unlink()
    try:
        os.write(descriptor, bytes(4096))
        point("fsync trial")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directories(path: Path, *, mode: int = 0o755) -> None:
    """Make a directory and its parents, each durable in its parent."""
    if path.is_dir():
        return
    make_directories(path.parent)
    point(f"mkdir {path.name}")
    path.mkdir(mode=mode, exist_ok=True)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    point(f"fsync-directory {path.name}")
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make a file's bytes durable; used for files that a child wrote."""
    point(f"fsync {path.name}")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Give `path` this content in one step: a reader, and the next start, find the old content or the new."""
    fresh = path.with_name(f".{path.name}.new")
    point(f"write {path.name}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(os.open(fresh, flags, mode), "wb") as stream:
        stream.write(content)
        stream.flush()
        point(f"fsync {path.name}")
        os.fsync(stream.fileno())
    rename(fresh, path)


def replace_volatile(path: Path, content: bytes) -> None:
    """The same for a file on a file system of memory: readers find old or new, and nothing is made durable."""
    fresh = path.with_name(f".{path.name}.new")
    point(f"write {path.name}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(os.open(fresh, flags, 0o644), "wb") as stream:
        stream.write(content)
    point(f"rename {path.name}")
    fresh.replace(path)


def rename(source: Path, target: Path) -> None:
    """Rename within one file system, durably; an existing target is replaced in the same step."""
    point(f"rename {target.name}")
    source.replace(target)
    sync_directory(target.parent)
    if source.parent != target.parent:
        sync_directory(source.parent)


def replace_link(link: Path, destination: str) -> None:
    """Point a symlink elsewhere in one step. `destination` is relative to the link's own directory."""
    fresh = link.with_name(f".{link.name}.new")
    remove_file(fresh)
    point(f"symlink {link.name}")
    fresh.symlink_to(destination)
    rename(fresh, link)


def remove_file(path: Path) -> None:
    """Unlink a file or a link that may be there. Not fsynced: one that comes back after a power cut is collected again."""
    if path.is_symlink() or path.exists():
        point(f"unlink {path.name}")
        path.unlink()


def remove_tree(path: Path) -> None:
    """Remove a directory of ours with everything in it; links are removed, never followed."""
    if not path.is_dir():
        return
    for member in sorted(path.iterdir()):
        if member.is_dir() and not member.is_symlink():
            remove_tree(member)
        else:
            remove_file(member)
    point(f"rmdir {path.name}")
    path.rmdir()


class Appender:
    """A file that grows piece by piece: a download."""

    def __init__(self, path: Path) -> None:
        self._name = path.name
        self._stream = path.open("ab")

    @property
    def size_bytes(self) -> int:
        """The length with everything appended so far."""
        return self._stream.tell()

    def append(self, piece: bytes) -> None:
        """Write one piece through to the kernel; it is durable only after `sync`."""
        point(f"append {self._name}")
        self._stream.write(piece)
        self._stream.flush()

    def sync(self) -> None:
        point(f"fsync {self._name}")
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        self._stream.close()


@contextmanager
def appending(path: Path) -> Iterator[Appender]:
    """Open a file for appending and close it whatever happens; what was appended stays."""
    point(f"open {path.name}")
    appender = Appender(path)
    try:
        yield appender
    finally:
        appender.close()
