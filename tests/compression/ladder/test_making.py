"""A ladder as a use case: who makes it where torch cannot, and what rungs are chosen on."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper

from compression.commands.ladder import _print
from compression.errors import ModelUnusable
from compression.evaluation import predict_classes
from compression.ladder.making import make_ladder
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


class BaseAgain:
    """Makes one candidate: what devices hold already."""

    name = "base again"

    def make(self, task: Task, bench: Bench) -> Iterator[Candidate]:
        path = bench.folder / "again.onnx"
        path.write_bytes(task.base.read_bytes())
        yield Candidate("again", path, self.name)


class Softened:
    """Makes one candidate: the new version with scores that are half as large. It says the same classes."""

    name = "softened"

    def make(self, task: Task, bench: Bench) -> Iterator[Candidate]:
        model = onnx.load(task.new)
        for tensor in model.graph.initializer:
            if list(tensor.dims) in ([10], [10, 96]):
                tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) / 2, tensor.name))
        path = bench.folder / "softened.onnx"
        onnx.save(model, path)
        yield Candidate("softened", path, self.name)


def test_scores_that_moved_count_where_every_class_is_the_same(pair: Pair, tmp_path: Path) -> None:
    [made] = make_ladder(pair.task(), Bench(tmp_path), maker=Softened()).made
    assert made.rung.held_out.agreement == 1
    assert made.offer.divergence > 0.02
    assert made.chosen_as == "between"
    assert (made.offer.asked, made.offer.others) == (0, 0)


def test_answers_are_counted_where_the_new_version_does_not_know_the_samples(pair: Pair, tmp_path: Path) -> None:
    task = replace(pair.task(), choosing=pair.held_out.first(150))
    [made] = make_ladder(task, Bench(tmp_path), maker=BaseAgain()).made
    said, wanted = (predict_classes(path, pair.held_out.first(150)).classes for path in (pair.base, pair.new))
    assert made.offer.asked == 150
    assert made.offer.others == sum(a != b for a, b in zip(said, wanted, strict=True)) > 0
