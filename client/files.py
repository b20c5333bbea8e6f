"""Local files: digests without holding a file in memory, clear refusals, and files that are whole or not there."""

import hashlib
import json
from pathlib import Path
from typing import Any

from client.errors import LocalFileError


def sha256_of(file: Path) -> str:
    """Lower-case hex SHA-256 of the file's bytes.

    Raises:
        LocalFileError: it cannot be read.
    """
    try:
        with file.open("rb") as source:
            return hashlib.file_digest(source, "sha256").hexdigest()
    except OSError as error:
        raise LocalFileError(f"{file}: {error.strerror}") from error


def read_object(file: Path, *, limit_bytes: int) -> dict[str, Any]:
    """The JSON object in `file`.

    Raises:
        LocalFileError: it cannot be read, is larger, or holds something else.
    """
    try:
        if (size := require_file(file).stat().st_size) > limit_bytes:
            raise LocalFileError(f"{file}: {size:,} bytes, at most {limit_bytes:,} are taken")
        document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise LocalFileError(f"{file}: {error.strerror}") from error
    except ValueError as error:
        raise LocalFileError(f"{file}: no JSON: {error}") from error
    if not isinstance(document, dict):
        raise LocalFileError(f"{file}: expected a JSON object, found {type(document).__name__}")
    return document


def require_file(file: Path) -> Path:
    """`file`, if it is a regular file with at least one byte.

    Raises:
        LocalFileError: it is not.
    """
    if not file.is_file():
        raise LocalFileError(f"{file}: no such file")
    if not file.stat().st_size:
        raise LocalFileError(f"{file}: the file is empty")
    return file


def write_whole(file: Path, content: bytes) -> None:
    """Write by one rename: a full disk or a killed process leaves what was there before, or nothing, but no half file.

    Raises:
        OSError: it cannot be written.
    """
    partial = file.with_name(f"{file.name}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(file)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
