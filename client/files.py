"""Reading local files: digests without holding a file in memory, and clear refusals."""

import hashlib
from pathlib import Path

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
