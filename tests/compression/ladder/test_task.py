"""What a ladder starts from: graphs that correspond, statistics folded away, and files that keep what is not sent."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from compression.datasets import Samples
from compression.errors import DataUnusable, ModelUnusable
from compression.evaluation import predict_logits
from compression.ladder.task import Task, align, float_tensors, input_names
from compression.rate import delta_bytes
from tests.compression.ladder.conftest import Pair


def test_folded_statistics_leave_the_function_as_it_was(pair: Pair, tmp_path: Path) -> None:
    task = pair.task()
    task.write(tmp_path / "aligned.onnx", task.aligned.target)
    images = pair.held_out.images
    difference = np.abs(predict_logits(tmp_path / "aligned.onnx", images) - predict_logits(pair.new, images))
    assert difference.max() < 1e-4


def test_statistics_and_biases_before_a_normalisation_stand_as_in_the_base(pair: Pair) -> None:
    aligned = pair.task().aligned
    assert {name for name in aligned.still if "running" in name} == {name for name in aligned.base if "running" in name}
    assert "0.bias" in aligned.still
    assert "9.bias" in aligned.moving  # of the dense layer, which nothing normalises
    assert {"1.weight", "1.bias", "9.bias"} <= aligned.vectors
    assert "4.weight" not in aligned.vectors


def test_file_of_base_weights_is_the_base_where_the_graphs_are_the_same(pair: Pair, tmp_path: Path) -> None:
    pair.task().write(tmp_path / "same.onnx", {})
    assert delta_bytes(pair.base, tmp_path / "same.onnx") < 400
    np.testing.assert_array_equal(
        predict_logits(tmp_path / "same.onnx", pair.held_out.images), predict_logits(pair.base, pair.held_out.images)
    )


def test_parts_are_apart_and_the_same_again(pair: Pair) -> None:
    fitted, chosen_on = pair.task().parts
    assert len(fitted) + len(chosen_on) == len(pair.training)
    assert len(chosen_on) == round(0.2 * len(pair.training))
    assert pair.task().parts[1].sha256() == chosen_on.sha256()


def test_samples_that_the_new_version_does_not_know_are_chosen_on_and_all_others_are_fitted_to(pair: Pair) -> None:
    unknown = pair.held_out.first(50)
    task = Task(pair.base, pair.new, pair.training, pair.held_out, choosing=unknown)
    assert task.parts == (pair.training, unknown)


def test_too_few_samples_are_refused(pair: Pair) -> None:
    few = Task(pair.base, pair.new, pair.training.first(19), pair.held_out)
    with pytest.raises(DataUnusable, match="19 samples"):
        few.parts  # noqa: B018 - the look is the test


def rename(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = "other" if name == "9.weight" else name
    next(found for found in model.graph.initializer if found.name == "9.weight").name = "other"


def reshape(model: onnx.ModelProto) -> None:
    tensor = dict(float_tensors(model))["9.bias"]
    tensor.CopyFrom(numpy_helper.from_array(np.zeros((1, 10), np.float32), "9.bias"))


def make_infinite(model: onnx.ModelProto) -> None:
    tensor = dict(float_tensors(model))["4.weight"]
    values = numpy_helper.to_array(tensor).copy()
    values.flat[7] = np.nan
    tensor.CopyFrom(numpy_helper.from_array(values, "4.weight"))


def replace_operator(model: onnx.ModelProto) -> None:
    next(node for node in model.graph.node if node.op_type == "Relu").op_type = "Sigmoid"


def drop_last_node(model: onnx.ModelProto) -> None:
    del model.graph.node[-1]


def make_double(model: onnx.ModelProto) -> None:
    for name, tensor in list(float_tensors(model)):
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), name))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (rename, r"base: there is no tensor other|new version: there is no tensor 9\.weight"),
        (reshape, r"tensor 9\.bias is \(10,\) in the base and \(1, 10\) in the new version"),
        (make_infinite, r"new version: tensor 4\.weight has values that are not finite"),
        (replace_operator, "the graphs differ: node .* is Relu of .* in the base and Sigmoid of"),
        (drop_last_node, r"nodes, the new version"),
        (make_double, "no float32 weights"),
    ],
)
def test_graphs_that_do_not_correspond_are_refused_by_name(
    pair: Pair, change: Callable[[onnx.ModelProto], None], message: str
) -> None:
    changed = onnx.load(pair.new)
    change(changed)
    with pytest.raises(ModelUnusable, match=message):
        align(onnx.load(pair.base), changed)


def test_same_weights_leave_nothing_to_send(pair: Pair) -> None:
    with pytest.raises(ModelUnusable, match="nothing to send"):
        align(onnx.load(pair.base), onnx.load(pair.base))


def test_weight_that_the_graph_does_not_have_cannot_be_written(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match=r"no float32 tensor 4\.weight of shape \(3,\)"):
        pair.task().write(tmp_path / "x.onnx", {"4.weight": np.zeros(3, np.float32)})


def test_file_that_is_no_model_is_refused_by_name(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    task = Task(tmp_path / "broken.onnx", pair.new, pair.training, pair.held_out)
    with pytest.raises(ModelUnusable, match=r"broken\.onnx is no ONNX file"):
        task.aligned  # noqa: B018 - the look is the test


def test_inputs_are_named_without_initializers(pair: Pair) -> None:
    assert input_names(onnx.load(pair.base)) == ["image"]


def test_training_samples_may_have_no_labels(pair: Pair) -> None:
    unlabelled = Samples(pair.training.inputs, None)
    fitted, chosen_on = Task(pair.base, pair.new, unlabelled, pair.held_out).parts
    assert fitted.labels is None
    assert chosen_on.labels is None
