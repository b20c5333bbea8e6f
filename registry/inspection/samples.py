"""Is this file a sample set? Runs in the child.

A sample set is an `.npz` without pickles: `input:<name>` and `golden:<name>` for every input and output of the contract,
and perhaps `labels`, all with the same first axis, which counts the samples.
"""

import zipfile
import zlib
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np

from registry.inspection.errors import FileRefused

MAX_MEMBERS = 256
MAX_PLAIN_BYTES = 512 * 1024**2
MAX_RATIO = 200
"""Plain bytes per packed byte. Deflate reaches 1032 on zeros; samples of real data stay far below this."""
_RATIO_FREE_BYTES = 1024**2
_COMPRESSIONS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
"""What numpy writes; LZMA and bzip2 would take memory that the file chooses."""
MAX_DIMENSIONS = 32
_SUFFIX = ".npy"
_READ_BYTES = 1024**2


def describe_samples(path: Path) -> dict[str, Any]:
    """Arrays by name with dtype and shape, and the number of samples.

    Raises:
        FileRefused: it is no sample set.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_sizes(archive.infolist(), path.stat().st_size)
            arrays = {_name(member): _array(archive, member) for member in archive.infolist()}
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        EOFError,
        OSError,
        ValueError,
        NotImplementedError,
        RuntimeError,
        zlib.error,
    ) as error:
        raise FileRefused(f"this is no readable .npz file: {str(error)[:300]}") from error
    return {"samples": _count(arrays), "arrays": arrays}


def _check_sizes(members: list[zipfile.ZipInfo], file_bytes: int) -> None:
    if len(members) > MAX_MEMBERS:
        raise FileRefused(f"{len(members)} arrays, at most {MAX_MEMBERS} are accepted")
    if any(member.compress_type not in _COMPRESSIONS for member in members):
        raise FileRefused("an array is packed in a way that is not read; save with numpy.savez or savez_compressed")
    plain_bytes = sum(member.file_size for member in members)
    if plain_bytes > MAX_PLAIN_BYTES or plain_bytes > max(_RATIO_FREE_BYTES, MAX_RATIO * file_bytes):
        raise FileRefused(
            f"{file_bytes} bytes unpack to {plain_bytes}; at most {MAX_PLAIN_BYTES} and {MAX_RATIO} times the file are accepted"
        )


def _name(member: zipfile.ZipInfo) -> str:
    name = member.filename.removesuffix(_SUFFIX)
    kind, colon, rest = name.partition(":")
    known = name == "labels" or (kind in {"input", "golden"} and bool(colon and rest))
    if not member.filename.endswith(_SUFFIX) or not known:
        raise FileRefused(f"{member.filename[:100]!r} is no array named input:<name>, golden:<name> or labels")
    return name


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> dict[str, Any]:
    """The header of one array; its bytes are read to the end so that a cut or altered file shows by its checksum."""
    with archive.open(member) as file:
        shape, dtype = _header(file)
        if dtype.hasobject:
            raise FileRefused(f"{member.filename[:100]!r} holds Python objects, which are not accepted")
        if len(shape) > MAX_DIMENSIONS:
            raise FileRefused(
                f"{member.filename[:100]!r} has {len(shape)} dimensions, at most {MAX_DIMENSIONS} are accepted"
            )
        count = int(np.prod(shape, dtype=object))
        read = 0
        while chunk := file.read(_READ_BYTES):
            read += len(chunk)
    if read != count * dtype.itemsize:
        raise FileRefused(f"{member.filename[:100]!r} has {read} bytes, its header says {count * dtype.itemsize}")
    return {"dtype": str(dtype), "shape": list(shape)}


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise FileRefused(f"npy format version {version} is not read; save with numpy.savez")
    try:
        shape, _, dtype = readers[version](file)
    except (SyntaxError, TokenError) as error:  # numpy reads the header as Python's literals
        raise FileRefused(f"the header of an array cannot be read: {str(error)[:100]}") from error
    return shape, dtype


def _count(arrays: dict[str, dict[str, Any]]) -> int:
    for kind in ("input:", "golden:"):
        if not any(name.startswith(kind) for name in arrays):
            raise FileRefused(f"there is no array named {kind}<name>")
    if not all(array["shape"] for array in arrays.values()):
        raise FileRefused("every array needs a first axis that counts the samples")
    counts = {name: array["shape"][0] for name, array in arrays.items()}
    if len(set(counts.values())) != 1 or 0 in counts.values():
        raise FileRefused(f"the first axes differ or are empty: {counts}")
    return int(next(iter(counts.values())))
