"""The page that says where new code goes names places that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TABLE = re.search(
    r"## Where does new code go\n(.*?)\nImports point one way", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL
)
PLACES = sorted(
    set(re.findall(r"`((?:[a-z_]+/)+[a-z_.]*|[a-z_]+/[a-z_]+\.(?:py|md|json))`", TABLE[1] if TABLE else ""))
)


def test_the_table_was_found() -> None:
    assert len(PLACES) > 20


@pytest.mark.parametrize("place", PLACES)
def test_place_exists(place: str) -> None:
    assert (ROOT / place).exists()
