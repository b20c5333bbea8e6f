"""The page of settings and the code that reads them say the same."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_setting_is_documented_and_every_documented_one_is_read() -> None:
    sources = [ROOT / "fleet/settings.py", ROOT / "fleet/gunicorn_conf.py"]
    read = {name for source in sources for name in re.findall(r'"(SMALLFLEET_[A-Z0-9_]+)"', source.read_text())}
    page = (ROOT / "docs/settings.md").read_text()
    documented = set(re.findall(r"^\| `(SMALLFLEET_[A-Z0-9_]+)`", page, re.MULTILINE))
    assert read == documented
