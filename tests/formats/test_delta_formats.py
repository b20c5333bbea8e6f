"""Patches that earlier versions wrote restore what they did; the written format says what the code does."""

import os
import re
from pathlib import Path

import pytest

from delta.arrays import ITEM_NAMES
from delta.coders import CODERS
from delta.contexts import LEVELS
from delta.corrections import CORRECTIONS, Correction
from delta.decoder import apply, read_info
from delta.entropy.symbols import Mapping
from delta.format import parse
from delta.formulas import OPERATIONS
from delta.limits import Limits
from delta.predictors import PREDICTORS, Predictor
from delta.streams import KINDS
from delta.versions import FORMAT_VERSION, READABLE_VERSIONS

FORMATS = Path(__file__).parent
DOCUMENT = (FORMATS.parents[1] / "docs" / "formats.md").read_text()
GOLDEN = sorted(FORMATS.glob("delta_v*/*.patch"))


@pytest.mark.parametrize("patch", GOLDEN, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_golden_patches_restore_their_targets(tmp_path: Path, patch: Path) -> None:
    base = patch.with_suffix(".base")
    apply(base if base.exists() else None, patch, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == patch.with_suffix(".target").read_bytes()


def test_every_readable_version_has_golden_patches_of_its_own() -> None:
    found: dict[str, set[int]] = {path.parent.name: set() for path in GOLDEN}
    for path in GOLDEN:
        found[path.parent.name].add(read_info(path).format_version)
    assert found == {f"delta_v{version}": {version} for version in READABLE_VERSIONS}
    assert max(READABLE_VERSIONS) == FORMAT_VERSION


def test_the_golden_patches_of_this_version_use_all_of_it() -> None:
    used: set[tuple[str, int]] = set()
    for path in GOLDEN:
        if path.parent.name == f"delta_v{FORMAT_VERSION}":
            used |= features(path)
    assert used == {
        *(("predictor", number) for number in PREDICTORS),
        *(("correction", number) for number in CORRECTIONS),
        *(("operation", number) for number in OPERATIONS),
        *(("kind of stream", number) for number in KINDS),
        *(("level", number) for number in range(len(LEVELS))),
    }


def features(path: Path) -> set[tuple[str, int]]:
    """What a patch's index names, by number."""
    fd = os.open(path, os.O_RDONLY)
    try:
        index = parse(fd, Limits()).index
    finally:
        os.close(fd)
    return {
        *(("predictor", number) for number in index.predictors.tolist()),
        *(("correction", number) for number in index.corrections.tolist()),
        *(("operation", formula.operation) for formula in index.formulas),
        *(("kind of stream", entry.kind) for entry in index.streams),
        *(("level", model.level) for model in index.contexts),
    }


def rows(heading: str) -> list[tuple[int, str]]:
    """The number and name of each row in the table below a heading of the document."""
    section = DOCUMENT.split(f"## {heading}\n")[1].split("\n## ")[0]
    return [(int(number), name) for number, name in re.findall(r"^\| (\d+) \| `(\w+)` \|", section, re.MULTILINE)]


def test_the_document_lists_every_number_the_code_uses() -> None:
    assert rows("Predictors") == [(number, PREDICTORS[number].name) for number in sorted(PREDICTORS)]
    assert rows("Corrections") == [(number, CORRECTIONS[number].name) for number in sorted(CORRECTIONS)]
    assert rows("Formulas") == [(number, OPERATIONS[number].name) for number in sorted(OPERATIONS)]
    assert rows("Coders") == [(number, CODERS[number].NAME) for number in sorted(CODERS)]
    assert rows("Coded streams") == [(mapping.value, mapping.name.lower()) for mapping in Mapping]
    assert rows("Item types") == list(enumerate(ITEM_NAMES))
    assert len(
        re.findall(r"^\| \d [a-z]+ \|", DOCUMENT.split("## Streams\n")[1].split("\n## ")[0], re.MULTILINE)
    ) == len(KINDS)
    assert len(re.findall(r"^\| \d \|", DOCUMENT.split("## Contexts\n")[1].split("\n## ")[0], re.MULTILINE)) == len(
        LEVELS
    )


@pytest.mark.parametrize("registry", [PREDICTORS, CORRECTIONS], ids=["predictors", "corrections"])
def test_the_document_names_every_operand_in_order(registry: dict[int, Predictor] | dict[int, Correction]) -> None:
    for entry in registry.values():
        operands = "".join(f" `{operand}`," for operand in entry.operands)[:-1] or ""
        assert re.search(rf"^\| {entry.number} \| `{entry.name}` \|{operands} \|", DOCUMENT, re.MULTILINE), entry.name
