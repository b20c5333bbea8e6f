"""The command line, as a user runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from delta.errors import PatchMalformed, WrongBase
from delta.versions import FORMAT_VERSION
from tests.delta.conftest import Models


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "delta", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path, models: Models) -> Path:
    (tmp_path / "base").write_bytes(models.fp32())
    (tmp_path / "new").write_bytes(models.fine_tuned())
    return tmp_path


def test_make_info_and_apply_go_round(folder: Path) -> None:
    made = run("make", folder / "base", folder / "new", folder / "patch", "--json", "--effort", "fast")
    assert made.returncode == 0, made.stderr
    report = json.loads(made.stdout)
    assert report["patch_bytes"] == (folder / "patch").stat().st_size
    assert report["effort"] == "fast"
    described = json.loads(run("info", folder / "patch", "--json").stdout)
    assert described["format_version"] == FORMAT_VERSION
    assert described["base"] == report["base"]
    assert run("apply", folder / "base", folder / "patch", folder / "out").returncode == 0
    assert (folder / "out").read_bytes() == (folder / "new").read_bytes()


def test_a_dash_as_base_packs(folder: Path) -> None:
    assert run("make", "-", folder / "new", folder / "patch", "--effort", "fast").returncode == 0
    assert "none (packed)" in run("info", folder / "patch").stdout
    assert run("apply", "-", folder / "patch", folder / "out").returncode == 0
    assert (folder / "out").read_bytes() == (folder / "new").read_bytes()


def test_errors_are_one_line_and_an_exit_code(folder: Path) -> None:
    run("make", folder / "base", folder / "new", folder / "patch", "--effort", "fast")
    wrong = run("apply", folder / "new", folder / "patch", folder / "out")
    assert wrong.returncode == WrongBase.exit_code
    assert wrong.stderr.startswith("error: wrong-base: ")
    none = run("info", folder / "new")
    assert (none.returncode, none.stderr.count("\n")) == (PatchMalformed.exit_code, 1)
    missing = run("make", folder / "nowhere", folder / "new", folder / "other")
    assert missing.returncode == 1
    assert missing.stderr == f"error: {folder / 'nowhere'}: No such file or directory\n"
    assert run("apply").returncode == 2
    assert f"{WrongBase.exit_code}wrong-base" in "".join(run("--help").stdout.split())
    assert sorted(path.name for path in folder.iterdir()) == ["base", "new", "patch"]
