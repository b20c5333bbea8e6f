"""Every move of the table fits the net it is shown on, and the table says what was measured."""

import pytest
import torch

from benchmarks.paired import compare
from benchmarks.peers.playbook import MOVES, SHAPE, FileMove, Row, TorchMove, markdown, plain
from compression.playbook import Cost
from compression.playbook.files import STEP_OF


@pytest.mark.parametrize("move", MOVES, ids=lambda move: move.name)
def test_move_makes_a_net_of_the_same_inputs_and_outputs(move: TorchMove | FileMove) -> None:
    torch.manual_seed(1)
    moved = move.make(plain()) if isinstance(move, TorchMove) else move.start(plain())
    with torch.no_grad():
        assert moved.eval()(torch.rand(3, *SHAPE)).shape == (3, 10)
    if isinstance(move, FileMove):
        assert {name for name, _ in move.moves} <= set(STEP_OF)


def test_table_has_a_row_for_each_move_and_the_difference_with_its_interval() -> None:
    cost = Cost(param_count=1234, size_bytes=5678, packed_bytes=910, macs=11_000, peak_activation_bytes=1)
    paired = compare([0, 1, 1], [0, 1, 0], [0, 1, 1])
    rows = [Row("", "before", cost, 0.5, (0.4, 0.6), None), Row("5.3", "p = 1/2", cost, 0.75, (0.6, 0.9), paired)]
    lines = list(markdown(rows))
    assert len(lines) == 4
    assert lines[2] == "|  | before | 1,234 | 5,678 | 910 | 11,000 | 50.0 [40.0, 60.0] |  |"
    assert lines[3].startswith("| 5.3 | p = 1/2 |")
    assert "+33.3 [" in lines[3]
