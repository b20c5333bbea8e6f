"""Cold, warm or unknown: asked of the real kernel about real files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.page_cache import cached_share, page_cache_of

PAGES = 64


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(os.urandom(PAGES * os.sysconf("SC_PAGESIZE") - 5))
    return path


def test_file_that_was_just_written_is_warm(file: Path) -> None:
    assert cached_share(file) == 1.0
    assert page_cache_of(file) == "warm"


def test_file_that_the_kernel_dropped_is_cold_where_the_filesystem_can_drop(file: Path) -> None:
    with file.open("r+b") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    # A file in memory (tmpfs) has no other place to be, so it stays.
    assert (cached_share(file), page_cache_of(file)) in {(0.0, "cold"), (1.0, "warm")}


def test_asking_reads_nothing(file: Path) -> None:
    with file.open("r+b") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    assert cached_share(file) == cached_share(file)


def test_what_cannot_be_asked_is_unknown(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()

    assert page_cache_of(empty) == "unknown"
    assert page_cache_of(tmp_path / "missing") == "unknown"
    assert page_cache_of(tmp_path) == "unknown"


def test_somebody_elses_file_is_unknown_since_the_kernel_would_call_it_warm() -> None:
    program = (
        "import os; from pathlib import Path; from benchmarks.page_cache import cached_share\n"
        "if os.geteuid() == 0: os.setgid(65534); os.setuid(65534)\n"
        "path = Path('/etc/passwd'); path.read_bytes(); print(cached_share(path))"
    )

    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout == "None\n"
