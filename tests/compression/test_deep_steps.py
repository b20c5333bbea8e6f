"""Steps from file to file on 8x8 digits with a net of some 1,700 weights: what they promise of the file, and what they refuse."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from compression.datasets import Samples, load_samples, split
from compression.deep.allocation import ByLayer
from compression.deep.pruning import Pruner
from compression.deep.schedules import cubic
from compression.errors import DataUnusable, ModelUnusable, RecipeInvalid
from compression.evaluation import predict_classes, predict_logits
from compression.folding import fold_normalisation
from compression.onnx_export import export_onnx
from compression.onnx_torch import load_net
from compression.retraining import Moment, Retraining, retrain
from compression.squeezenet import SqueezeNet, SqueezeNetShape
from compression.steps import STEPS, Workbench
from compression.training import Recipe, train

QUICK: dict[str, Any] = {"epochs": 3, "learning_rate": 5e-3, "batch": 32}


@pytest.fixture(scope="module")
def bench() -> Workbench:
    training, held_out = split(load_samples("digits"), held_out=600)
    return Workbench(training, held_out, seed=7)


@pytest.fixture(scope="module")
def dense(bench: Workbench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained net with its normalisation in the file."""
    torch.set_num_threads(1)
    torch.manual_seed(3)
    net = SqueezeNet(SqueezeNetShape(10, 12, (((6, 12),),), dropout=0.0))
    train(net, bench.training, Recipe(epochs=6, peak_learning_rate=1e-2, shift_pixels=0.0, seed=3, batch=32))
    path = tmp_path_factory.mktemp("dense") / "dense.onnx"
    names = {"input_name": "image", "output_name": "logits"}
    export_onnx(net, path, example=bench.training.images[:8], keep_normalisation=True, **names)
    return path


def _apply(do: str, source: Path, target: Path, bench: Workbench, **keys: object) -> Mapping[str, Any]:
    return STEPS[do](**keys).apply(source, target, bench)


def _arrays(path: Path) -> dict[str, NDArray[np.float32]]:
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def _filters(path: Path) -> dict[str, NDArray[np.float32]]:
    return {name: array for name, array in _arrays(path).items() if array.ndim == 4}


def _zeros(path: Path) -> float:
    filters = list(_filters(path).values())
    return sum(int((own == 0).sum()) for own in filters) / sum(own.size for own in filters)


def _accuracy(path: Path, bench: Workbench) -> float:
    return predict_classes(path, bench.held_out).accuracy


def test_pruned_folded_shared_compacted_net_has_few_values_and_still_knows_digits(
    dense: Path, bench: Workbench, tmp_path: Path
) -> None:
    pruned, folded, shared, compact = (tmp_path / f"{name}.onnx" for name in ("pruned", "folded", "shared", "compact"))
    facts = _apply("prune", dense, pruned, bench, sparsity=0.5, **QUICK)
    assert _zeros(pruned) == pytest.approx(0.5, abs=0.001)
    assert facts["weights_kept"] == sum(int((own != 0).sum()) for own in _filters(pruned).values())
    _apply("fold", pruned, folded, bench)
    keys = {"convolution_bits": 4, "bias_bits": 3, "coarse": True}
    _apply("share", folded, shared, bench, **keys, **QUICK)
    for name, array in _arrays(shared).items():
        values = np.unique(array[array != 0])
        assert values.size <= (16 if array.ndim == 4 else 8)
        assert not (values.view(np.uint32) & 0xFFFF).any()
        if array.ndim == 4:
            assert np.array_equal(array == 0, _arrays(folded)[name] == 0)
    _apply("compact", shared, compact, bench)
    images = bench.held_out.images[:50]
    assert np.allclose(predict_logits(compact, images), predict_logits(shared, images), atol=1e-4)
    assert _accuracy(compact, bench) > 0.7
    assert _accuracy(dense, bench) > 0.8


def test_same_step_with_the_same_seed_gives_the_same_bytes(dense: Path, bench: Workbench, tmp_path: Path) -> None:
    for name in ("one", "two"):
        _apply("prune", dense, tmp_path / name, bench, sparsity=0.5, shift_pixels=0.5, epochs=1)
    _apply("prune", dense, tmp_path / "other", replace(bench, seed=8), sparsity=0.5, shift_pixels=0.5, epochs=1)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (tmp_path / "one").read_bytes() != (tmp_path / "other").read_bytes()


@pytest.mark.parametrize(
    "keys",
    [
        {"allocation": "uniform", "sparsity": 0.6},
        {"allocation": "sensitivity", "sensitivity_samples": 128},
        {"schedule": "rounds", "rounds": 2},
    ],
)
def test_every_allocation_and_schedule_ends_at_its_sparsity(
    keys: dict[str, Any], dense: Path, bench: Workbench, tmp_path: Path
) -> None:
    _apply("prune", dense, tmp_path / "pruned", bench, **{"sparsity": 0.7, "epochs": 1, **keys})
    assert _zeros(tmp_path / "pruned") == pytest.approx(keys.get("sparsity", 0.7), abs=0.005)


def test_layers_of_a_recipe_get_their_own_sparsity_and_bits(dense: Path, bench: Workbench, tmp_path: Path) -> None:
    layer = load_net(dense).layers[1]
    keys = {"allocation": "given", "layers": {layer.name: 0.75}, "epochs": 1}
    _apply("prune", dense, tmp_path / "pruned", bench, **keys)
    shares = {name: float((own == 0).mean()) for name, own in _filters(tmp_path / "pruned").items()}
    assert shares.pop(layer.weight) == pytest.approx(0.75, abs=0.02)
    assert not any(shares.values())
    keys = {"layers": {layer.weight: 1}, "epochs": 0}
    _apply("share", tmp_path / "pruned", tmp_path / "shared", bench, **keys)
    assert np.unique(_arrays(tmp_path / "shared")[layer.weight]).size == 3


@pytest.mark.parametrize("do", ["prune", "share"])
def test_layer_that_does_not_exist_is_refused_by_its_key(
    do: str, dense: Path, bench: Workbench, tmp_path: Path
) -> None:
    with pytest.raises(RecipeInvalid, match=r"^layers\.fire99: no such layer; the model has .*squeeze"):
        _apply(do, dense, tmp_path / "out", bench, layers={"fire99": 1})
    assert not (tmp_path / "out").exists()


def test_layer_left_empty_is_refused_by_name(dense: Path, bench: Workbench, tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match=r"/conv/Conv: pruning leaves no weight of"):
        _apply("prune", dense, tmp_path / "out", bench, sparsity=0.9999, allocation="uniform")


def test_curve_that_does_not_reach_the_sparsity_is_refused(dense: Path, bench: Workbench, tmp_path: Path) -> None:
    keys = {"sparsity": 0.999, "allocation": "sensitivity", "sensitivity_samples": 32}
    with pytest.raises(RecipeInvalid, match=r"^sparsity: the curves end at a mean sparsity of 0\.99"):
        _apply("prune", dense, tmp_path / "out", bench, **keys)


def test_masks_in_training_only_narrow_and_pruned_weights_stay_zero(dense: Path, bench: Workbench) -> None:
    net = load_net(dense)
    weight = net.layers[2].weight
    pruner = Pruner(net, ByLayer({weight: 0.8}, cubic), every=3, until=0.5)
    zero_counts: list[int] = []

    def after_step(moment: Moment) -> None:
        before = pruner.masks[weight].copy()
        pruner.after_step(moment)
        assert not (pruner.masks[weight] & ~before).any()
        assert not net.weights[weight].detach().numpy()[~pruner.masks[weight]].any()
        zero_counts.append(int((~pruner.masks[weight]).sum()))

    how = Retraining(epochs=1, learning_rate=1e-2, weight_decay=0.1)
    retrain(net, bench.training, how, seed=1, before_step=pruner.before_step, after_step=after_step)
    assert zero_counts == sorted(zero_counts)
    assert len(set(zero_counts)) > 2
    assert zero_counts[-1] == zero_counts[len(zero_counts) // 2 + 1] == round(0.8 * pruner.masks[weight].size)


def test_searched_bits_are_fewer_with_more_tolerance(dense: Path, bench: Workbench, tmp_path: Path) -> None:
    totals = []
    for tolerance in (0.0, 0.05):
        keys = {"search": True, "tolerance": tolerance, "search_samples": 200, "convolution_bits": 6, "epochs": 0}
        facts = _apply("share", dense, tmp_path / "shared", bench, **keys)
        totals.append(sum(facts["bits_by_layer"].values()))
    assert totals[1] < totals[0]


def test_structured_net_does_the_share_of_multiplications_and_is_trained_on(
    dense: Path, bench: Workbench, tmp_path: Path
) -> None:
    facts = _apply("structured", dense, tmp_path / "half", bench, macs=0.5, multiple_of=2, **QUICK)
    assert facts["macs"] <= 0.5 * facts["macs_before"]
    assert all(width % 2 == 0 for width in facts["channels_left"].values())
    assert _accuracy(tmp_path / "half", bench) > 0.6
    for importance in ("l1", "gamma"):
        _apply("structured", dense, tmp_path / importance, bench, macs=0.5, importance=importance, epochs=0, rounds=1)
        assert predict_logits(tmp_path / importance, bench.held_out.images[:2]).shape == (2, 10)


def test_structured_below_what_leaves_a_channel_in_every_layer_is_refused(
    dense: Path, bench: Workbench, tmp_path: Path
) -> None:
    with pytest.raises(ModelUnusable, match=r"leave a layer empty"):
        _apply("structured", dense, tmp_path / "out", bench, macs=0.001, importance="l1")


def test_distilled_student_learns_from_a_teacher_without_labels(dense: Path, bench: Workbench, tmp_path: Path) -> None:
    unlabelled = replace(bench, training=Samples(bench.training.inputs, None), teacher=dense)
    torch.manual_seed(11)
    student = tmp_path / "student.onnx"
    names = {"input_name": "image", "output_name": "logits"}
    small = SqueezeNet(SqueezeNetShape(10, 8, (((4, 8),),), dropout=0.0)).eval()
    export_onnx(small, student, example=bench.training.images[:8], keep_normalisation=True, **names)
    _apply("distil", student, tmp_path / "taught", unlabelled, alpha=1.0, epochs=5, learning_rate=1e-2, batch=32)
    assert _accuracy(student, bench) < 0.3
    assert _accuracy(tmp_path / "taught", bench) > 0.5
    with pytest.raises(DataUnusable, match="no labels"):
        _apply("distil", student, tmp_path / "out", unlabelled, alpha=0.5)


def test_distilling_without_a_teacher_is_refused(dense: Path, bench: Workbench, tmp_path: Path) -> None:
    with pytest.raises(RecipeInvalid, match="--teacher FILE"):
        _apply("distil", dense, tmp_path / "out", bench)


def test_finetuned_net_is_better_than_before(dense: Path, bench: Workbench, tmp_path: Path) -> None:
    pruned = tmp_path / "pruned.onnx"
    _apply("prune", dense, pruned, bench, sparsity=0.8, epochs=1, until=1.0, learning_rate=1e-5)
    _apply("finetune", pruned, tmp_path / "tuned.onnx", bench, epochs=3, learning_rate=1e-2)
    assert _accuracy(tmp_path / "tuned.onnx", bench) > _accuracy(pruned, bench)


def _broken(dense: Path, tmp_path: Path) -> Path:
    model = onnx.load(dense)
    tensor = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 4)
    array = numpy_helper.to_array(tensor).copy()
    array[0, 0, 0, 0] = np.nan
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    path = tmp_path / "broken.onnx"
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("do", ["prune", "share", "fold", "compact", "structured", "finetune"])
def test_weights_that_are_no_numbers_are_refused_by_name(
    do: str, dense: Path, bench: Workbench, tmp_path: Path
) -> None:
    with pytest.raises(
        ModelUnusable, match=r"broken\.onnx: tensor features\.0\.conv\.weight has values that are not a number"
    ):
        _apply(do, _broken(dense, tmp_path), tmp_path / "out", bench)


UNFIT = {
    r"input image takes \[": Samples({"image": np.zeros((4, 3, 8, 8), np.float32)}, np.zeros(4, np.int64)),
    "inputs are image": Samples({"picture": np.zeros((4, 1, 8, 8), np.float32)}, np.zeros(4, np.int64)),
    "a label 10, the model has 10 classes": Samples({"image": np.zeros((4, 1, 8, 8), np.float32)}, np.full(4, 10)),
    "at least two samples": Samples({"image": np.zeros((1, 1, 8, 8), np.float32)}, np.zeros(1, np.int64)),
}


@pytest.mark.parametrize("expected", UNFIT)
@pytest.mark.parametrize("do", ["prune", "share", "structured", "finetune"])
def test_samples_that_do_not_fit_are_refused(
    do: str, expected: str, dense: Path, bench: Workbench, tmp_path: Path
) -> None:
    with pytest.raises(DataUnusable, match=expected):
        _apply(do, dense, tmp_path / "out", replace(bench, training=UNFIT[expected]))


def test_learning_rate_that_bursts_the_net_is_refused(dense: Path, bench: Workbench, tmp_path: Path) -> None:
    net = load_net(dense)
    with torch.no_grad():
        net.weights[net.layers[-1].weight].fill_(3e38)
    with pytest.raises(ModelUnusable, match=r"the loss is .* lower learning_rate"):
        retrain(net, bench.training, Retraining(epochs=1, learning_rate=1.0), seed=1)


def test_file_that_is_no_onnx_is_refused(bench: Workbench, tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(ModelUnusable, match=r"text\.onnx is no ONNX file"):
        _apply("compact", tmp_path / "text.onnx", tmp_path / "out", bench)


def test_folded_net_answers_as_before_with_fewer_nodes(dense: Path, bench: Workbench, tmp_path: Path) -> None:
    facts = _apply("fold", dense, tmp_path / "folded", bench)
    assert facts["normalisations"] == 4
    graph = onnx.load(tmp_path / "folded").graph
    assert "BatchNormalization" not in {node.op_type for node in graph.node}
    assert not [tensor.name for tensor in graph.initializer if "running" in tensor.name or "norm" in tensor.name]
    images = bench.held_out.images[:50]
    assert np.allclose(predict_logits(tmp_path / "folded", images), predict_logits(dense, images), atol=1e-4)


def test_normalisation_whose_input_somebody_else_reads_is_not_folded(dense: Path) -> None:
    model = onnx.load(dense)
    norm = next(node for node in model.graph.node if node.op_type == "BatchNormalization")
    model.graph.output.append(
        onnx.helper.make_tensor_value_info(norm.input[0], onnx.TensorProto.FLOAT, ["N", 12, 8, 8])
    )
    assert fold_normalisation(model)[1] == 3
