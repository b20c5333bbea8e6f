"""The page about energy names what the code has."""

from pathlib import Path

from benchmarks.schema import report_schema
from benchmarks.tiers import TIERS

PAGE = (Path(__file__).resolve().parents[2] / "docs/energy.md").read_text()
# Only in reports of an earlier ruler.
_FORMER = {"cputime-watts"}


def test_every_method_of_the_schema_has_its_place_in_the_table() -> None:
    methods = set(report_schema()["properties"]["energy"]["properties"]["method"]["enum"]) - _FORMER
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]

    assert {name.strip(" `") for row in rows for name in row.split("|")[1].split(",")} == methods


def test_every_tiers_idle_time_is_said() -> None:
    words = " ".join(PAGE.split())

    for name in ("quick", "rapid", "smoke"):
        assert f"{TIERS[name].idle_s:g} s `{name}`" in words
    assert f"nothing runs for {TIERS['normal'].idle_s:g} s (`normal`;" in words
