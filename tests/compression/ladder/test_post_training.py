"""Rungs without training, on two tiny nets of digits."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compression.datasets import Samples
from compression.errors import DataUnusable
from compression.evaluation import predict_logits
from compression.ladder.divergence import divergence
from compression.ladder.layers import Walk, layers_of
from compression.ladder.post_training import PostTraining
from compression.ladder.rungs import Bench
from compression.ladder.sensitivity import sensitivity, weight_costs
from compression.ladder.task import Task
from compression.rate import delta_bytes
from tests.compression.ladder.conftest import Pair

COSTS = (1e-7, 1e-4)


@pytest.mark.parametrize("gradients", [True, False])
def test_rungs_cost_fewer_and_fewer_bytes_and_the_dearest_says_what_the_new_version_says(
    pair: Pair, tmp_path: Path, *, gradients: bool
) -> None:
    task = pair.task()

    made = list(PostTraining(COSTS, calibration=64, gradients=gradients).make(task, Bench(tmp_path)))

    sizes = [delta_bytes(task.base, candidate.path) for candidate in made]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < sizes[0] < delta_bytes(task.base, task.new) / 2
    assert [candidate.settings["gradients"] for candidate in made] == [gradients] * len(COSTS)
    images = pair.held_out.images
    wanted = predict_logits(task.new, images)
    assert divergence(predict_logits(made[0].path, images), wanted) < 0.1 * divergence(
        predict_logits(task.base, images), wanted
    )


def test_the_same_task_gives_the_same_bytes(pair: Pair, tmp_path: Path) -> None:
    written = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        made = PostTraining((3e-6,), calibration=64).make(pair.task(), Bench(tmp_path / name))
        written.append([candidate.path.read_bytes() for candidate in made])

    assert written[0] == written[1]


def _model(
    nodes: list[onnx.NodeProto], weights: Mapping[str, np.ndarray], shape: Sequence[str | int]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", "K"])],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _task(folder: Path, nodes: list[onnx.NodeProto], weights: Mapping[str, np.ndarray], inputs: np.ndarray) -> Task:
    """A task whose new version has every weight moved a little."""
    chance = np.random.default_rng(5)
    moved = {name: (w + 0.1 * chance.normal(size=w.shape)).astype(np.float32) for name, w in weights.items()}
    shape = ["N", *inputs.shape[1:]]
    for name, values in (("v1", weights), ("v2", moved)):
        onnx.save(_model(nodes, values, shape), folder / f"{name}.onnx")
    samples = Samples({"x": inputs}, None)
    return Task(folder / "v1.onnx", folder / "v2.onnx", samples, samples.first(20))


GRAPHS: dict[str, tuple[list[onnx.NodeProto], dict[str, tuple[int, ...]], tuple[int, ...]]] = {
    "gemm": (
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)],
        {"w": (5, 12), "b": (5,)},
        (12,),
    ),
    "matmul and a loose tensor": (
        [helper.make_node("MatMul", ["x", "w"], ["z"]), helper.make_node("Add", ["z", "b"], ["y"])],
        {"w": (12, 5), "b": (5,)},
        (12,),
    ),
    "grouped, strided, dilated convolution": (
        [
            helper.make_node("Conv", ["x", "w"], ["z"], group=2, strides=[2, 1], dilations=[1, 2], pads=[1, 0, 0, 2]),
            helper.make_node("GlobalAveragePool", ["z"], ["p"]),
            helper.make_node("Flatten", ["p"], ["y"]),
        ],
        {"w": (6, 2, 3, 2)},
        (4, 7, 6),
    ),
    "convolution in one dimension": (
        [
            helper.make_node("Conv", ["x", "w", "b"], ["z"]),
            helper.make_node("GlobalMaxPool", ["z"], ["p"]),
            helper.make_node("Flatten", ["p"], ["y"]),
        ],
        {"w": (6, 3, 4), "b": (6,)},
        (3, 9),
    ),
}


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_layers_rows_times_its_matrix_are_its_outputs(graph: str, tmp_path: Path) -> None:
    nodes, shapes, inner = GRAPHS[graph]
    chance = np.random.default_rng(3)
    weights = {name: chance.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    model = _model(nodes, weights, ["N", *inner])
    samples = Samples({"x": chance.normal(size=(30, *inner)).astype(np.float32)}, None)
    (layer,) = layers_of(model, weights)

    given, found = Walk(model, samples).values([layer.input_name, layer.output_name], {})

    matrix = layer.matrix(weights["w"])
    rows = len(matrix) // layer.groups
    computed = np.hstack(
        [x @ matrix[group * rows : (group + 1) * rows].T for group, x in enumerate(layer.rows(given, shapes["w"]))]
    )
    if layer.bias is not None:
        computed = computed + weights[layer.bias]
    np.testing.assert_allclose(computed, layer.outputs(found), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(layer.tensor(matrix, shapes["w"]), weights["w"])


@pytest.mark.parametrize("graph", GRAPHS)
def test_any_graph_gets_rungs_from_cheap_bits_nearly_exact_and_from_dear_ones_the_base(
    graph: str, tmp_path: Path
) -> None:
    nodes, shapes, inner = GRAPHS[graph]
    chance = np.random.default_rng(4)
    weights = {name: chance.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    task = _task(tmp_path, nodes, weights, chance.normal(size=(80, *inner)).astype(np.float32))

    near, none = PostTraining((1e-9, 1e6), calibration=60, gradients=False).make(task, Bench(tmp_path))

    def answers(path: Path) -> np.ndarray:
        return predict_logits(path, task.training.images)

    assert np.array_equal(answers(none.path), answers(task.base))
    error = np.abs(answers(near.path) - answers(task.new)).mean()
    assert error < 0.2 * np.abs(answers(task.base) - answers(task.new)).mean()


def test_a_layer_that_changes_the_answer_more_costs_more(pair: Pair) -> None:
    task = pair.task()

    found = sensitivity(task, task.training.first(64), gradients=True)

    assert found.by_layer.keys() == found.slopes.keys() == {"0.weight", "1.weight", "4.weight", "5.weight", "9.weight"}
    assert all(cost > 0 for cost in found.by_layer.values())
    assert found.slopes["9.weight"].shape == (64, 1, 10)
    assert found.slopes["4.weight"].shape == (64, 16, 24)


def test_weights_that_act_on_every_place_cost_more_than_those_of_one(pair: Pair) -> None:
    task = pair.task()

    found = weight_costs(task, task.training.first(20))

    assert found.keys() == set(task.aligned.moving)
    assert found["1.weight"] > found["9.weight"] > 0


def test_samples_of_another_input_are_refused_by_name(pair: Pair) -> None:
    with pytest.raises(DataUnusable, match="the model reads image, the samples have picture"):
        Walk(pair.task().new_model, pair.training.renamed("picture"))


def test_samples_of_another_size_are_refused(pair: Pair) -> None:
    samples = Samples({"image": np.zeros((70, 2, 8, 8), np.float32)}, None)

    with pytest.raises(DataUnusable, match="do not fit"):
        Walk(pair.task().new_model, samples).values(["logits"], {})
