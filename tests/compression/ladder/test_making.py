"""A ladder as a use case: who makes it where torch cannot, and what rungs are chosen on."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from compression.commands.ladder import _print
from compression.datasets import Samples
from compression.errors import ModelUnusable
from compression.ladder.making import hard_cases, make_ladder
from compression.ladder.post_training import PostTraining
from compression.ladder.rungs import Bench, Candidate
from compression.ladder.task import Task
from tests.compression.ladder.conftest import Pair, with_branch


def test_graph_that_torch_cannot_run_gets_rungs_without_training_and_is_told_so(
    pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = with_branch(pair, tmp_path)
    small = Task(task.base, task.new, pair.training.first(200), pair.held_out.first(100))
    ladder = make_ladder(small, Bench(tmp_path), spare=PostTraining(bit_costs=(1e-6,), gradients=False))
    assert "branching" in ladder.fallback
    [made] = ladder.made
    assert made.rung.candidate.method == "post-training"
    _print(ladder, tmp_path, {})
    assert "made without training, because torch cannot run this graph" in capsys.readouterr().out


class Nobody:
    """A maker that finds nothing."""

    name = "nobody"

    def make(self, task: Task, bench: Bench) -> Iterator[Candidate]:
        return iter(())


def test_ladder_without_rungs_is_an_error(pair: Pair, tmp_path: Path) -> None:
    small = Task(pair.base, pair.new, pair.training.first(40), pair.held_out.first(20))
    with pytest.raises(ModelUnusable, match="tensors differ, and no rung could be made"):
        make_ladder(small, Bench(tmp_path), maker=Nobody())


def test_nothing_but_training_imports_torch() -> None:
    code = "import sys, compression.ladder.making, compression.ladder.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_hard_cases_lie_nearer_to_their_own_sample_and_integers_stay() -> None:
    floats = np.eye(8, dtype=np.float32)
    samples = Samples({"x": floats, "id": np.arange(8)}, np.arange(8))
    hard = hard_cases(samples, seed=1)
    assert hard.labels is None
    assert hard.inputs["x"].dtype == np.float32
    assert len(hard) == 16
    assert (hard.inputs["x"].argmax(axis=1) == np.tile(np.arange(8), 2)).all()
    np.testing.assert_array_equal(hard.inputs["id"], np.tile(np.arange(8), 2))
    assert hard_cases(samples, seed=1).sha256() == hard.sha256()
    assert hard_cases(samples, seed=2).sha256() != hard.sha256()
