"""The page of settings and the code that reads them say the same."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_setting_is_documented_and_every_documented_one_is_read() -> None:
    sources = [ROOT / "fleet" / name for name in ("settings.py", "gunicorn_conf.py", "operations/connections.py")]
    read = {name for source in sources for name in re.findall(r'"(SMALLFLEET_[A-Z0-9_]+)"', source.read_text())}
    page = (ROOT / "docs/settings.md").read_text()
    documented = set(re.findall(r"^\| `(SMALLFLEET_[A-Z0-9_]+)`", page, re.MULTILINE))
    assert read == documented


def test_home_is_by_default_below_the_folder_of_the_start(tmp_path: Path) -> None:
    """Not beside the code: the folder of an installed package goes with its next installation."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("SMALLFLEET_", "DJANGO_"))}
    home = subprocess.run(
        [sys.executable, "-c", "from fleet.settings import HOME; print(HOME)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=bare | {"SMALLFLEET_DEBUG": "1", "PYTHONPATH": str(ROOT)},
    ).stdout.strip()
    assert Path(home) == tmp_path / "var" / "server"
    assert Path(home).is_dir()
