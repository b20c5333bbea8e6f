"""Quantisation-aware fine-tuning, and int8 updates on the grids that devices hold."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest

from compression.datasets import Samples
from compression.errors import ModelUnusable
from compression.evaluation import predict_logits
from compression.onnx_torch import OnnxNet, feeds_of, load_net
from compression.quantisation import prepare, quantise_prepared, quantise_static, to_half
from compression.quantisation.aware import tune_quantised
from compression.quantisation.delta_aware import DeltaAware, update_int8
from compression.quantisation.grids import QuantisedModel, read_quantised
from compression.rate import delta_bytes
from compression.retraining import Retraining
from tests.factories.nets import change_weight, digits, write_classifier

HOW = DeltaAware(rates=(1e-7, 1e-6), first_iterations=80, iterations=30, deviations=2.0, importance_samples=128)


@pytest.fixture(scope="module")
def samples() -> Samples:
    return digits(400)


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """v1, fitted to few samples, and v2 with the same features, fitted to more."""
    folder = tmp_path_factory.mktemp("nets")
    return (
        write_classifier(folder / "v1.onnx", digits(120)),
        write_classifier(folder / "v2.onnx", digits(400), penalty=2.0),
    )


@pytest.fixture(scope="module")
def held(nets: tuple[Path, Path], samples: Samples) -> Path:
    path = nets[0].with_name("held.onnx")
    quantise_static(nets[0], path, samples)
    return path


def agreement(one: Path, other: Path, samples: Samples) -> float:
    classes = [predict_logits(path, samples.images).argmax(axis=1) for path in (one, other)]
    return float((classes[0] == classes[1]).mean())


def test_opened_file_answers_in_torch_as_the_runtime_does(held: Path, samples: Samples) -> None:
    file = read_quantised(held, onnx.load(held))
    logits = OnnxNet(file.opened())(feeds_of(samples.first(50)))["logits"].detach().numpy()
    expected = predict_logits(held, samples.images[:50])
    # A value on the edge between two codes may fall to either side: one step of the last activation's grid.
    assert np.abs(logits - expected).max() <= 2.1 * _step_of_output(file)
    assert np.mean(np.isclose(logits, expected, atol=1e-4)) > 0.97


def _step_of_output(file: QuantisedModel) -> float:
    return max(float(file.array(scale)) for scale, _ in file.activation_grids())


def test_file_opened_and_written_without_a_change_is_the_same(held: Path, tmp_path: Path) -> None:
    file = read_quantised(held, onnx.load(held))
    for grid in file.grids:
        file.put(grid.codes, file.code(grid, file.values(grid)))
    file.write(tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == held.read_bytes()


@pytest.mark.parametrize("learn_scales", [False, True])
def test_training_with_rounding_brings_a_coarse_net_back_to_its_teacher(
    learn_scales: bool,  # noqa: FBT001 - pytest gives it by name
    nets: tuple[Path, Path],
    samples: Samples,
    tmp_path: Path,
) -> None:
    prepared, quantised, tuned = (tmp_path / f"{name}.onnx" for name in ("prepared", "quantised", "tuned"))
    prepare(nets[1], prepared)
    # One large weight a row makes the grid of all others coarse.
    coarse = change_weight(prepared, tmp_path / "coarse.onnx", "fc.weight", _one_large_weight)
    quantise_prepared(coarse, quantised, samples)
    found = tune_quantised(
        coarse,
        quantised,
        tuned,
        samples,
        Retraining(epochs=6, learning_rate=3e-3, alpha=1.0),
        seed=1,
        teacher=load_net(nets[1]),
        learn_scales=learn_scales,
    )
    onnx.checker.check_model(tuned, full_check=True)
    assert agreement(tuned, nets[1], samples) > agreement(quantised, nets[1], samples) + 0.05
    assert found.changed_share > 0
    assert (found.scale_change > 0) == learn_scales
    for bias, products in (file := read_quantised(tuned, onnx.load(tuned))).bias_scales():
        np.testing.assert_array_equal(file.array(bias.scale), products)


def _one_large_weight(array: np.ndarray) -> np.ndarray:
    array[:, 0] = 40 * np.abs(array).max()
    return array


def test_update_costs_less_and_answers_more_like_the_new_version_than_what_is_held(
    nets: tuple[Path, Path], held: Path, samples: Samples, tmp_path: Path
) -> None:
    ordinary, ours, again = (tmp_path / f"{name}.onnx" for name in ("ordinary", "ours", "again"))
    quantise_static(nets[1], ordinary, samples)
    updated = update_int8(held, nets[1], ours, samples, HOW, seed=1)
    onnx.checker.check_model(ours, full_check=True)
    assert delta_bytes(held, ours) < 0.85 * delta_bytes(held, ordinary)
    assert agreement(ours, nets[1], samples) > agreement(held, nets[1], samples)
    assert 0 < updated.tried[updated.chosen].changed_share < 0.5
    update_int8(held, nets[1], again, samples, HOW, seed=1)
    assert again.read_bytes() == ours.read_bytes()


def test_untrained_update_needs_no_epochs(
    nets: tuple[Path, Path], held: Path, samples: Samples, tmp_path: Path
) -> None:
    how = dataclasses.replace(
        HOW, rates=(1e-9, 1e-3), first_iterations=0, iterations=0, deviations=0.1, bias_deviations=0.1
    )
    updated = update_int8(held, nets[1], tmp_path / "ours.onnx", samples, how, seed=1)
    near, far = updated.tried
    assert near.changed_share > far.changed_share
    assert near.agreement >= far.agreement
    assert updated.chosen == 0


def test_update_to_what_is_held_changes_nothing(
    nets: tuple[Path, Path], held: Path, samples: Samples, tmp_path: Path
) -> None:
    how = dataclasses.replace(HOW, rates=(1e-9,), first_iterations=0, kept_share=0.001)
    update_int8(held, nets[0], tmp_path / "same.onnx", samples, how, seed=1)
    file, before = (read_quantised(path, onnx.load(path)) for path in (tmp_path / "same.onnx", held))
    for grid in (grid for grid in before.grids if not grid.is_bias):
        assert np.mean(file.array(grid.codes) != before.array(grid.codes)) < 0.01


def test_held_file_of_another_graph_is_refused_with_the_difference(
    nets: tuple[Path, Path], samples: Samples, tmp_path: Path
) -> None:
    other = tmp_path / "other.onnx"
    quantise_static(nets[0], other, samples, exclude=["fc"])
    with pytest.raises(ModelUnusable, match=r"other.onnx is not quantised like v2.onnx would be: a node is"):
        update_int8(other, nets[1], tmp_path / "ours.onnx", samples, HOW, seed=1)


def test_held_file_without_codes_is_refused(nets: tuple[Path, Path], samples: Samples, tmp_path: Path) -> None:
    to_half(nets[0], tmp_path / "half.onnx")
    with pytest.raises(ModelUnusable, match=r"half\.onnx has no weights as int8 codes"):
        update_int8(tmp_path / "half.onnx", nets[1], tmp_path / "ours.onnx", samples, HOW, seed=1)
