"""Rungs by training: what is written is the base plus codes, costs less at a higher rate, and is the same again."""

import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from compression.datasets import Samples
from compression.errors import DataUnusable, ModelUnusable
from compression.evaluation import predict_logits
from compression.ladder.rungs import Bench, Candidate
from compression.ladder.task import Task, float_tensors
from compression.ladder.trained import AIM, TrainedRungs
from compression.rate import delta_bytes
from delta.encoder.ways.steps import find_step
from tests.compression.ladder.conftest import Pair, with_branch

QUICK = TrainedRungs(rungs=2, iterations=60, last_iterations=40, lowest_rate=1e-5, highest_rate=1e-3)


@pytest.fixture(scope="module")
def made(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> list[Candidate]:
    return list(QUICK.make(pair.task(), Bench(tmp_path_factory.mktemp("rungs"))))


def tensors(path: Path) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    return {name: numpy_helper.to_array(tensor) for name, tensor in float_tensors(onnx.load(path))}


def test_every_tensor_of_a_rung_is_the_base_plus_codes_of_one_step(pair: Pair, made: list[Candidate]) -> None:
    base = tensors(pair.base)
    for candidate in made:
        onnx.checker.check_model(candidate.path, full_check=True)
        for name, values in tensors(candidate.path).items():
            is_same = values.tobytes() == base[name].tobytes()
            assert is_same or find_step(values.reshape(-1), base[name].reshape(-1)) is not None, name
            assert is_same or "running" not in name


def test_higher_rate_costs_fewer_bytes_and_all_cost_less_than_the_new_version(
    pair: Pair, made: list[Candidate]
) -> None:
    sizes = [delta_bytes(pair.base, candidate.path) for candidate in made]
    assert sizes[1] < sizes[0] < delta_bytes(pair.base, pair.new) / 2
    changed = [candidate.settings["changed"] for candidate in made]
    assert changed[1] < changed[0]


def test_rung_says_more_of_what_the_new_version_says_than_the_base_does(pair: Pair, made: list[Candidate]) -> None:
    images = pair.held_out.images
    wanted = predict_logits(pair.new, images).argmax(axis=1)
    agreement = [
        float((predict_logits(path, images).argmax(axis=1) == wanted).mean()) for path in (made[0].path, pair.base)
    ]
    assert agreement[0] > 0.95
    assert 1 - agreement[0] < (1 - agreement[1]) / 2


def test_same_task_gives_the_same_bytes(pair: Pair, made: list[Candidate], tmp_path: Path) -> None:
    again = next(QUICK.make(pair.task(), Bench(tmp_path)))
    assert again.path.read_bytes() == made[0].path.read_bytes()


def test_aimed_rungs_are_trained_at_rates_between_those_that_are_known(
    pair: Pair, made: list[Candidate], tmp_path: Path
) -> None:
    known = list(zip(made, (0.01, 0.04), strict=True))
    between, beyond = QUICK.aimed(pair.task(), Bench(tmp_path), known, [0.02 / AIM, 0.4 / AIM])
    lowest, highest = QUICK.lowest_rate, QUICK.highest_rate
    assert between.settings["rate"] == pytest.approx(math.sqrt(lowest * highest))
    assert highest < beyond.settings["rate"] <= 4.001 * highest
    sizes = [delta_bytes(pair.base, one.path) for one in (made[0], between, made[1], beyond)]
    assert sizes == sorted(sizes, reverse=True)


def test_divergence_that_a_known_rung_has_is_not_aimed_at_again(
    pair: Pair, made: list[Candidate], tmp_path: Path
) -> None:
    known = list(zip(made, (0.01, 0.04), strict=True))
    assert not list(QUICK.aimed(pair.task(), Bench(tmp_path), known, [0.01 / AIM, 0.0405 / AIM]))


def test_two_processes_make_the_same_bytes_and_tell_how_far_they_are(
    pair: Pair, made: list[Candidate], tmp_path: Path
) -> None:
    heard: list[float] = []
    bench = Bench(tmp_path, workers=2, report=lambda _what, share: heard.append(share))
    again = list(QUICK.make(pair.task(), bench))
    assert [one.path.read_bytes() for one in again] == [one.path.read_bytes() for one in made]
    assert [one.settings for one in again] == [one.settings for one in made]
    assert heard == sorted(heard)
    assert heard[-1] == 1


def test_held_out_samples_are_not_looked_at(pair: Pair, made: list[Candidate], tmp_path: Path) -> None:
    task = Task(pair.base, pair.new, pair.training, pair.held_out.first(3))
    again = next(QUICK.make(task, Bench(tmp_path)))
    assert again.path.read_bytes() == made[0].path.read_bytes()


def test_short_time_is_kept_and_told(pair: Pair, tmp_path: Path) -> None:
    heard: list[float] = []
    bench = Bench(tmp_path, minutes=1e-6, report=lambda _what, share: heard.append(share))
    made = list(QUICK.make(pair.task(), bench))
    assert [candidate.settings["trained_iterations"] for candidate in made] == [20, 20]
    assert heard == sorted(heard)


def test_samples_of_another_shape_are_refused_by_name(pair: Pair, tmp_path: Path) -> None:
    wide = Samples({"image": np.zeros((40, 1, 8, 9), np.float32)}, np.arange(40) % 10)
    task = Task(pair.base, pair.new, wide, pair.held_out)
    with pytest.raises(DataUnusable, match="input image takes"):
        list(QUICK.make(task, Bench(tmp_path)))


def test_samples_with_another_input_are_refused_by_name(pair: Pair, tmp_path: Path) -> None:
    task = Task(pair.base, pair.new, pair.training.renamed("pixels"), pair.held_out)
    with pytest.raises(DataUnusable, match="inputs are image; the samples have pixels"):
        list(QUICK.make(task, Bench(tmp_path)))


def test_operator_that_torch_cannot_run_is_named(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match="branching"):
        list(QUICK.make(with_branch(pair, tmp_path), Bench(tmp_path)))
