"""Patches that earlier versions wrote restore what they did; the written format says what the code does."""

import re
from pathlib import Path

import pytest

from delta.arrays import ITEM_NAMES
from delta.coders import CODERS
from delta.decoder import READABLE_VERSIONS, apply, read_info
from delta.predictors import PREDICTORS

GOLDEN = Path(__file__).parent / "delta_v1"
DOCUMENT = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()


@pytest.mark.parametrize(("name", "base"), [("model", GOLDEN / "model.base"), ("coders", None)])
def test_golden_patches_restore_their_targets(tmp_path: Path, name: str, base: Path | None) -> None:
    apply(base, GOLDEN / f"{name}.patch", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == (GOLDEN / f"{name}.target").read_bytes()


def test_the_golden_model_patch_uses_every_predictor_of_its_version() -> None:
    info = read_info(GOLDEN / "model.patch")
    assert info.format_version == 1
    assert set(info.spans) == {"copy", "literal", "table", "copy+add", "copy+ordered", "quantise+add"}


def rows(heading: str) -> list[tuple[int, str]]:
    """The number and name of each row in the table below a heading of the document."""
    section = DOCUMENT.split(f"## {heading}\n")[1].split("\n## ")[0]
    return [(int(number), name) for number, name in re.findall(r"^\| (\d+) \| `(\w+)` \|", section, re.MULTILINE)]


def test_the_document_lists_every_number_the_code_uses() -> None:
    assert rows("Predictors") == [(number, PREDICTORS[number].name) for number in sorted(PREDICTORS)]
    assert rows("Coders") == [(number, CODERS[number].NAME) for number in sorted(CODERS)]
    assert rows("Item types") == list(enumerate(ITEM_NAMES))


def test_the_document_names_every_operand_in_order() -> None:
    for predictor in PREDICTORS.values():
        operands = ", ".join(f"`{operand}`" for operand in predictor.operands)
        assert re.search(rf"^\| {predictor.number} \| `{predictor.name}` \| {operands} \|", DOCUMENT, re.MULTILINE)


def test_numbers_leave_no_gap() -> None:
    """The index looks predictors up by position."""
    assert sorted(PREDICTORS) == list(range(len(PREDICTORS)))
    assert READABLE_VERSIONS == (1,)
