"""Applying a patch where something fails: the old file stays as it was, the error says what to do, nothing is left."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from delta import decoder
from delta.encoder import Effort, encode
from delta.errors import OutputUnwritable, PatchVersionUnsupported, WrongBase
from tests.delta.conftest import Models

pytestmark = pytest.mark.fault("patch that cannot be applied")

OLD = b"what was installed before"
GOLDEN = Path(__file__).parents[1] / "formats" / "delta_v1"
_WITH_ROOM = """
import resource, sys
from pathlib import Path
from delta import decoder, errors
base, patch, out, room = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(room), int(room)))
try:
    decoder.apply(Path(base), Path(patch), Path(out))
except errors.OutputUnwritable as error:
    sys.exit(f"{error}")
"""


@pytest.fixture(params=["version 1", "version 2, fast", "version 2, max"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with `base`, `new`, `patch`, and the `out` of an earlier release."""
    if request.param == "version 1":
        for name in ("base", "patch", "target"):
            (tmp_path / {"target": "new"}.get(name, name)).write_bytes((GOLDEN / f"model.{name}").read_bytes())
    else:
        models = Models()
        (tmp_path / "base").write_bytes(models.fp32())
        (tmp_path / "new").write_bytes(models.fine_tuned())
        encode(tmp_path / "base", tmp_path / "new", tmp_path / "patch", effort=Effort(request.param.split()[-1]))
    (tmp_path / "out").write_bytes(OLD)
    return tmp_path


def assert_as_before(folder: Path) -> None:
    """Nothing changed, nothing was left."""
    assert (folder / "out").read_bytes() == OLD
    assert sorted(path.name for path in folder.iterdir()) == ["base", "new", "out", "patch"]


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_disk_that_fills_at_any_byte_is_told_and_cleaned(pair: Path, share: float) -> None:
    """The kernel refuses what goes beyond so many bytes of the file, as a full disk does."""
    room = int((pair / "new").stat().st_size * share)
    arguments = [*(str(pair / name) for name in ("base", "patch", "out")), str(room)]
    command = [sys.executable, "-c", _WITH_ROOM, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert f"{pair / 'out'} could not be written" in ended.stderr
    assert_as_before(pair)
    decoder.apply(pair / "base", pair / "patch", pair / "out")
    assert (pair / "out").read_bytes() == (pair / "new").read_bytes()


def test_output_that_cannot_be_put_in_its_place_leaves_nothing(pair: Path) -> None:
    """A folder has the output's name, so the rename fails, after all bytes were right."""
    (pair / "taken").mkdir()
    (pair / "taken" / "kept").write_bytes(OLD)
    with pytest.raises(OutputUnwritable, match="taken could not be written"):
        decoder.apply(pair / "base", pair / "patch", pair / "taken")
    assert (pair / "taken" / "kept").read_bytes() == OLD
    (pair / "taken" / "kept").unlink()
    (pair / "taken").rmdir()
    assert_as_before(pair)


@pytest.mark.parametrize("changed", [slice(None), slice(1 << 10, 1 << 12)])
def test_wrong_base_is_named_whatever_it_breaks(pair: Path, changed: slice) -> None:
    base = np.frombuffer((pair / "base").read_bytes(), np.uint8).copy()
    base[changed] ^= 0x40
    (pair / "base").write_bytes(base.tobytes())
    with pytest.raises(WrongBase, match="ask for a patch from the file you hold"):
        decoder.apply(pair / "base", pair / "patch", pair / "out")
    assert_as_before(pair)


@pytest.mark.parametrize("version", [0, 3, 65535])
def test_patch_of_another_version_is_named(pair: Path, version: int) -> None:
    patch = bytearray((pair / "patch").read_bytes())
    patch[8:10] = version.to_bytes(2, "little")
    (pair / "patch").write_bytes(patch)
    with pytest.raises(
        PatchVersionUnsupported, match=f"version {version}, this decoder reads 1, 2: update the decoder"
    ):
        decoder.apply(pair / "base", pair / "patch", pair / "out")
    assert_as_before(pair)


def test_process_that_is_killed_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    """A power cut, as far as a process can have one: at moments from before the first byte to after the last."""
    numbers = np.random.default_rng(3)
    weights = numbers.normal(0, 0.1, 4_000_000).astype("<f4")
    (tmp_path / "base").write_bytes(weights.tobytes())
    new = (weights * np.float32(1.001)).tobytes()
    (tmp_path / "new").write_bytes(new)
    encode(tmp_path / "base", tmp_path / "new", tmp_path / "patch", effort=Effort.FAST)
    code = (
        "import sys; from pathlib import Path; from delta import decoder; print('ready', flush=True)\n"
        "decoder.apply(*(Path(name) for name in sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, *(str(tmp_path / name) for name in ("base", "patch", "out"))]
    started = time.monotonic()
    decoder.apply(tmp_path / "base", tmp_path / "patch", tmp_path / "out")
    whole_s = time.monotonic() - started
    seen = set()
    for moment in range(6):
        (tmp_path / "out").write_bytes(OLD)
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            time.sleep(whole_s * moment / 4)
            child.send_signal(signal.SIGKILL)
        found = (tmp_path / "out").read_bytes()
        assert found in (OLD, new)
        seen.add(found == new)
        left = {path.name for path in tmp_path.iterdir()} - {"base", "new", "patch", "out"}
        assert all(name.startswith(".out.") and name.endswith(".partial") for name in left)
        for name in left:
            (tmp_path / name).unlink()
    assert False in seen
