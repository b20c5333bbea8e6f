"""Inputs that an application offers for a shadow run: a folder of `.npz` files, one inference each. Child side (numpy).

The files are written by another program, perhaps while they are read, perhaps by somebody who means harm. So they are opened
without following links and without waiting, read only up to caps of count and bytes, before and after decompression, and never
unpickled. What does not fit the model is skipped and counted; nothing in the folder is an error.

One array per input, under the input's name, exactly as the application feeds it, batch axis included.
"""

import io
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from benchmarks.ports import Port

MAX_LISTED = 10_000
MAX_BYTES = 32 << 20
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
# Everything that a file which is no npz, or not whole, makes the libraries say.
_UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
)

Feeds = dict[str, np.ndarray[Any, Any]]


@dataclass(slots=True)
class Recent:
    """What was read: inputs, newest first, and how many files were not used."""

    feeds: list[Feeds] = field(default_factory=list)
    skipped: int = 0


class _Unfit(ValueError):
    """A file that holds no inputs of this model."""


def read_recent(folder: Path, ports: tuple[Port, ...], *, most: int) -> Recent:
    """Read at most `most` inputs and `MAX_BYTES` of arrays, the newest files first; a folder that is not there is empty."""
    found = Recent()
    left_bytes = MAX_BYTES
    for path in _newest_first(folder):
        if len(found.feeds) == most:
            break
        try:
            feeds = _read(path, ports, left_bytes)
        except _UNREADABLE:
            found.skipped += 1
            continue
        left_bytes -= sum(array.nbytes for array in feeds.values())
        found.feeds.append(feeds)
    return found


def _newest_first(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as listing:
            names = [entry.name for entry in islice(listing, MAX_LISTED) if _is_offered(entry.name)]
    except OSError:
        return []
    # A name that is gone by now is as old as can be.
    return sorted((folder / name for name in names), key=_modified_ns, reverse=True)


def _is_offered(name: str) -> bool:
    """Not a file that is being written: those begin with a dot until they are renamed."""
    return name.endswith(".npz") and not name.startswith(".")


def _modified_ns(path: Path) -> int:
    try:
        return path.stat(follow_symlinks=False).st_mtime_ns
    except OSError:
        return 0


def _read(path: Path, ports: tuple[Port, ...], most_bytes: int) -> Feeds:
    # O_NONBLOCK: a named pipe that nobody writes must not hold this process.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > most_bytes:
            raise _Unfit
        return dict(_arrays(file, ports, most_bytes))


def _arrays(file: BinaryIO, ports: tuple[Port, ...], most_bytes: int) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    with zipfile.ZipFile(file) as archive:
        members = [archive.getinfo(f"{port.name}.npy") for port in ports]
        # The sizes are the archive's own word; zipfile gives no byte more than they say.
        if sum(member.file_size for member in members) > most_bytes:
            raise _Unfit
        for port, member in zip(ports, members, strict=True):
            if member.compress_type not in _COMPRESSIONS:
                raise _Unfit
            yield port.name, _array(archive.read(member), port)


def _array(content: bytes, port: Port) -> np.ndarray[Any, Any]:
    stream = io.BytesIO(content)
    shape, _fortran, dtype = _HEADERS[np.lib.format.read_magic(stream)](stream)
    # Looked at before the array is made: a header may claim any shape.
    if dtype.name != port.dtype or not _fits(shape, port) or prod(shape) * dtype.itemsize > len(content):
        raise _Unfit
    stream.seek(0)
    return np.ascontiguousarray(np.lib.format.read_array(stream, allow_pickle=False)).reshape(shape)


def _fits(shape: tuple[int, ...], port: Port) -> bool:
    if 0 in shape:
        return False
    if port.dims is None:
        return True
    declared = zip(port.dims, shape, strict=False)
    return len(port.dims) == len(shape) and all(dim in {None, size} for dim, size in declared)
