"""docs/zoo.md has a row for every net, with the weights that the net has today."""

from pathlib import Path

import pytest
import torch

import compression
from compression.commands.zoo import SECTION
from compression.zoo import ZOO, ZooEntry
from compression.zoo.export import weights_of

PAGE = Path(compression.__file__).parents[1] / "docs" / "zoo.md"


def _rows() -> dict[str, list[str]]:
    table = SECTION.of(PAGE.read_text(encoding="utf-8"))
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()[2:]]
    return {row[0]: row for row in cells}


def test_page_has_the_zoos_nets_in_their_order() -> None:
    assert list(_rows()) == list(ZOO)


@pytest.mark.parametrize("entry", ZOO.values(), ids=ZOO)
def test_pages_figures_are_those_of_the_net(entry: ZooEntry) -> None:
    row = _rows()[entry.name]
    with torch.device("meta"):
        weights = sum(tensor.numel() for tensor in weights_of(entry.build(entry.shape)).values())
    counted = int(row[1].replace(",", ""))
    assert weights <= counted <= weights + 256  # shapes for Reshape and the like are counted too
    assert (row[2], row[4]) == (entry.dtype, entry.paper.figure)
    assert f"{counted:,}" in row[-1]
