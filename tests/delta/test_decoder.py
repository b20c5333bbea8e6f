"""What the decoder refuses, and what it leaves behind: nothing."""

import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from delta import decoder
from delta.coders import zstd
from delta.decoder import Limits
from delta.encoder import Effort, encode
from delta.errors import (
    LimitExceeded,
    MemoryExhausted,
    OutputMismatch,
    OutputUnwritable,
    PatchMalformed,
    PatchVersionUnsupported,
    WrongBase,
)
from delta.format import Header, Identity, serialise_index
from delta.limits import MIB
from delta.spans import Span
from delta.streams import STORED, StreamEntry
from delta.versions import FORMAT_VERSION
from tests.delta.conftest import Models, build

HEADER_BYTES = 116
OLD_OUTPUT = b"what was there before"


@pytest.fixture
def pair(tmp_path: Path, models: Models) -> Path:
    """A folder with `base`, `new`, `patch`, and an `out` that must survive every failure."""
    (tmp_path / "base").write_bytes(models.fp32())
    (tmp_path / "new").write_bytes(models.fine_tuned())
    encode(tmp_path / "base", tmp_path / "new", tmp_path / "patch", effort=Effort.FAST)
    (tmp_path / "out").write_bytes(OLD_OUTPUT)
    return tmp_path


def assert_untouched(folder: Path) -> None:
    assert (folder / "out").read_bytes() == OLD_OUTPUT
    assert sorted(path.name for path in folder.iterdir()) == ["base", "new", "out", "patch"]


def apply(folder: Path, limits: Limits = Limits()) -> None:  # noqa: B008 - frozen
    decoder.apply(folder / "base", folder / "patch", folder / "out", limits=limits)


def test_success_replaces_the_output_and_leaves_nothing_else(pair: Path) -> None:
    apply(pair)
    assert (pair / "out").read_bytes() == (pair / "new").read_bytes()
    assert sorted(path.name for path in pair.iterdir()) == ["base", "new", "out", "patch"]


def test_the_output_may_replace_the_base_itself(pair: Path) -> None:
    decoder.apply(pair / "base", pair / "patch", pair / "base")
    assert (pair / "base").read_bytes() == (pair / "new").read_bytes()


def test_the_output_has_ordinary_permissions(pair: Path) -> None:
    apply(pair)
    assert (pair / "out").stat().st_mode & 0o777 == (pair / "new").stat().st_mode & 0o777


def test_another_base_of_the_same_size_is_refused_by_digest(pair: Path) -> None:
    base = bytearray((pair / "base").read_bytes())
    base[-1] ^= 1
    (pair / "base").write_bytes(base)
    with pytest.raises(WrongBase) as caught:
        apply(pair)
    assert decoder.read_info(pair / "patch").base is not None
    assert str(decoder.read_info(pair / "patch").base) == caught.value.expected
    assert_untouched(pair)


def test_a_base_of_another_size_is_refused(pair: Path) -> None:
    (pair / "base").write_bytes(b"short")
    with pytest.raises(WrongBase, match="5 bytes"):
        apply(pair)
    assert_untouched(pair)


def test_no_base_for_a_patch_that_needs_one_is_refused(pair: Path) -> None:
    with pytest.raises(WrongBase, match="none"):
        decoder.apply(None, pair / "patch", pair / "out")
    assert_untouched(pair)


def test_a_missing_base_is_an_os_error(pair: Path) -> None:
    with pytest.raises(FileNotFoundError):
        decoder.apply(pair / "nowhere", pair / "patch", pair / "out")
    assert_untouched(pair)


def test_another_format_version_is_named(pair: Path) -> None:
    patch = bytearray((pair / "patch").read_bytes())
    patch[8:10] = (99).to_bytes(2, "little")
    (pair / "patch").write_bytes(patch)
    with pytest.raises(PatchVersionUnsupported, match="version 99, this decoder reads 1"):
        apply(pair)
    assert_untouched(pair)


def test_a_wrong_target_digest_is_a_mismatch(pair: Path) -> None:
    patch = bytearray((pair / "patch").read_bytes())
    patch[72] ^= 1
    (pair / "patch").write_bytes(patch)
    with pytest.raises(OutputMismatch):
        apply(pair)
    assert_untouched(pair)


@pytest.mark.parametrize("length", [0, 1, 11, 12, 60, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 9, -1])
def test_a_truncated_patch_is_malformed(pair: Path, length: int) -> None:
    (pair / "patch").write_bytes((pair / "patch").read_bytes()[:length])
    with pytest.raises(PatchMalformed):
        apply(pair)
    assert_untouched(pair)


def test_bytes_after_the_patch_are_malformed(pair: Path) -> None:
    (pair / "patch").write_bytes((pair / "patch").read_bytes() + b"\0")
    with pytest.raises(PatchMalformed, match="follows"):
        apply(pair)
    assert_untouched(pair)


@pytest.mark.parametrize("limit", ["output_bytes", "window_bytes", "index_bytes", "spans", "streams", "buffer_bytes"])
def test_more_than_a_limit_allows_is_refused(pair: Path, limit: str) -> None:
    with pytest.raises(LimitExceeded) as caught:
        apply(pair, replace(Limits(), **{limit: 1}))
    assert caught.value.limit == limit
    assert caught.value.asked > 1
    assert_untouched(pair)


def test_time_over_the_limit_ends_the_work(pair: Path) -> None:
    with pytest.raises(LimitExceeded, match="wall_s"):
        apply(pair, Limits(wall_s=0.0))
    assert_untouched(pair)


def test_an_output_folder_that_does_not_exist_is_unwritable(pair: Path) -> None:
    with pytest.raises(OutputUnwritable):
        decoder.apply(pair / "base", pair / "patch", pair / "nowhere" / "out")
    assert_untouched(pair)


def test_a_full_disk_leaves_nothing(pair: Path) -> None:
    """The child may write files of at most 40 kB, so the kernel refuses in the middle of the output."""
    code = (
        "import resource, sys; from pathlib import Path; from delta import decoder, errors\n"
        "folder = Path(sys.argv[1]); resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))\n"
        "try: decoder.apply(folder / 'base', folder / 'patch', folder / 'out')\n"
        "except errors.OutputUnwritable as error: sys.exit(error.exit_code)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(pair)], capture_output=True, text=True, check=False)
    assert ended.returncode == OutputUnwritable.exit_code, ended.stderr
    assert_untouched(pair)


def test_memory_that_the_system_refuses_is_an_error_of_the_codec(tmp_path: Path) -> None:
    """A child that may not grow by a single page: the copy of the first window fails."""
    (tmp_path / "base").write_bytes(np.random.default_rng(2).bytes(8_000_000))
    (tmp_path / "new").write_bytes((tmp_path / "base").read_bytes() + b"!")
    encode(tmp_path / "base", tmp_path / "new", tmp_path / "patch", effort=Effort.FAST)
    code = (
        "import resource, sys; from pathlib import Path; from delta import decoder, errors\n"
        "folder = Path(sys.argv[1]); size = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (size, size))\n"
        "try: decoder.apply(folder / 'base', folder / 'patch', folder / 'out')\n"
        "except errors.MemoryExhausted as error: sys.exit(error.exit_code)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert ended.returncode == MemoryExhausted.exit_code, ended.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "new", "patch"]


def crafted(spans: list[Span], *, size: int, streams: tuple[bytes, ...] = (), table_bytes: int = 0) -> bytes:
    """A packed patch with a right header and index, and whatever spans are asked for."""
    entries = [StreamEntry(STORED, 0, len(stream), len(stream), 0) for stream in streams]
    index = serialise_index(entries, (), (), spans)
    coded = zstd.compress(index, level=3)
    header = Header(
        FORMAT_VERSION,
        None,
        Identity("00" * 32, size),
        1 << 16,
        table_bytes,
        len(streams),
        len(spans),
        len(index),
        len(coded),
    )
    return header.serialise() + coded + b"".join(streams)


@pytest.mark.parametrize(
    ("patch", "reason"),
    [
        (crafted([Span(0, 9, (0,))], size=9), "outside the base"),
        (crafted([Span(1, 9, (0, 0))], size=9), "unknown stream"),
        (crafted([Span(1, 9, (0, 0))], size=9, streams=(b"short",)), "items left"),
        (crafted([Span(1, 4, (0, 0))], size=4, streams=(b"longer",)), "more than the spans use"),
        (crafted([Span(2, 4, (3,))], size=4, streams=(b"table",), table_bytes=5), "outside the table"),
        (crafted([Span(0, 4, (0,), 1, (0, 0))], size=4, streams=(b"diff",)), "outside the base"),
        (crafted([Span(1, 4, (0, 1))], size=4, streams=(b"text",)), "unknown context"),
        (crafted([Span(3, 4, (0, 1, 0))], size=4), "unknown layout"),
        (crafted([Span(5, 4, (0, 0, 0, 0, 0, 1, 4))], size=4), "no channels"),
        (crafted([Span(5, 4, (0, 0, 0, 0, 1, 1, 99))], size=4), "no code type"),
        (crafted([Span(1, 4, (0, 0))], size=5, streams=(b"text",)), "do not add up"),
        (crafted([Span(1, 0, (0, 0)), Span(1, 4, (0, 0))], size=4, streams=(b"text",)), "do not add up"),
        (crafted([], size=0, table_bytes=5), "a table needs a stream"),
        (crafted([Span(0, 9, (1 << 60,))], size=9), "outside the base"),
    ],
)
def test_a_patch_that_contradicts_itself_is_malformed(tmp_path: Path, patch: bytes, reason: str) -> None:
    (tmp_path / "patch").write_bytes(patch)
    with pytest.raises(PatchMalformed, match=reason):
        decoder.apply(None, tmp_path / "patch", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["patch"]


def test_a_zstd_bomb_is_refused_by_its_declared_size() -> None:
    """64 MiB of zeros in a few kB, declared as one byte: read no further than declared."""
    bomb = zstd.compress(bytes(64 * MIB), level=3)
    with pytest.raises(PatchMalformed):
        zstd.decompress(bomb, 1)


def test_memory_does_not_grow_with_the_model(tmp_path: Path) -> None:
    """A 64 MB fine-tune is applied with 16 MiB more than a process has that imports numpy; measured as VmHWM of children."""
    numbers = np.random.default_rng(1)
    weights = numbers.normal(0, 0.1, 16_000_000).astype(np.float32)
    (tmp_path / "base").write_bytes(build({"weight": weights}))
    weights += numbers.normal(0, 1e-4, weights.size).astype(np.float32)
    (tmp_path / "new").write_bytes(build({"weight": weights}))
    encode(tmp_path / "base", tmp_path / "new", tmp_path / "patch", effort=Effort.FAST)
    bare_kib = _peak_kib("import numpy", tmp_path)
    applying_kib = _peak_kib("from delta import decoder; decoder.apply(*map(Path, ('base', 'patch', 'out')))", tmp_path)
    assert (tmp_path / "out").read_bytes() == (tmp_path / "new").read_bytes()
    assert applying_kib - bare_kib < 16 * 1024


def _peak_kib(code: str, folder: Path) -> int:
    """The most memory that a process of its own had in RAM."""
    told = "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    command = [sys.executable, "-c", f"from pathlib import Path; {code}; {told}"]
    environment = {**os.environ, "PYTHONPATH": str(Path(decoder.__file__).parent.parent)}
    ended = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=_limit_address_space,
    )
    return int(ended.stdout)


def _limit_address_space() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MIB << 10, MIB << 10))


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("delta", "numpy"),
        ("delta.decoder", "onnx"),
        ("delta.commands", "numpy"),
        ("delta.versions", "numpy"),
        ("delta.effort", "numpy"),
    ],
)
def test_importing_stays_light(module: str, unwanted: str) -> None:
    code = f"import sys, {module}; sys.exit({unwanted!r} in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(Path(decoder.__file__).parent.parent)}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=environment).returncode == 0
