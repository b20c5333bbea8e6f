"""What is written is what torch computes: the same bytes for the same seed, every tensor by its name, none merged."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from benchmarks.static_cost import count_static_cost
from compression.errors import ExportMismatch
from compression.evaluation import predict_outputs
from compression.onnx_export import compare_with_torch
from compression.zoo import NetShape, ZooEntry
from compression.zoo.export import INPUT, export_entry, weights_of, write_for_counting, write_net


def test_file_is_what_protobuf_would_write(small: ZooEntry, tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    export_entry(small, path)
    assert path.read_bytes() == onnx.load(path).SerializeToString()


def test_every_weight_is_in_the_file_by_its_name_bit_by_bit(small: ZooEntry, tmp_path: Path) -> None:
    net = small.build(small.shape).eval()
    path = tmp_path / "small.onnx"
    write_net(net, weights_of(net), path, shape=small.shape, outputs=small.outputs)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}
    assert stored.keys() == {name for name in net.state_dict() if "num_batches" not in name}
    for name, array in stored.items():
        np.testing.assert_array_equal(array, net.state_dict()[name].numpy())


def test_exporting_leaves_the_net_as_it_was(small: ZooEntry, tmp_path: Path) -> None:
    net = small.build(small.shape).eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    write_net(net, weights_of(net), tmp_path / "small.onnx", shape=small.shape, outputs=small.outputs)
    assert list(before) == list(net.state_dict())
    assert all(torch.equal(tensor, net.state_dict()[name]) for name, tensor in before.items())
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_same_seed_gives_same_bytes_and_another_gives_others(small: ZooEntry, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("first", "again", "other")]
    for path, seed in zip(paths, (1, 1, 2), strict=True):
        export_entry(small, path, seed=seed)
        torch.rand(1)  # what others drew must not matter
    first, again, other = (path.read_bytes() for path in paths)
    assert first == again
    assert first != other


def test_exporting_does_not_touch_the_random_numbers_of_others(small: ZooEntry, tmp_path: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    export_entry(small, tmp_path / "small.onnx", seed=8)
    assert torch.equal(torch.rand(3), expected)


def test_batch_is_free_and_classes_and_size_are_as_asked(small: ZooEntry, tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    export_entry(small, path, shape=NetShape(channels=2, height=6, width=9, classes=4))
    cost = count_static_cost(path)
    assert cost.inputs[0].shape == ("N", 2, 6, 9)
    assert cost.outputs[0].shape == ("N", 4)
    (logits,) = predict_outputs(path, np.zeros((7, 2, 6, 9), np.float32))
    assert logits.shape == (7, 4)


def test_file_for_counting_weighs_what_the_real_one_does(small: ZooEntry, tmp_path: Path) -> None:
    real, empty = tmp_path / "real.onnx", tmp_path / "empty.onnx"
    export_entry(small, real)
    write_for_counting(small, empty)
    assert count_static_cost(real) == count_static_cost(empty)
    assert count_static_cost(real).param_bytes == 213 * 4
    assert real.stat().st_size == empty.stat().st_size


def test_half_precision_net_has_half_the_bytes_and_still_equals_torch(small: ZooEntry, tmp_path: Path) -> None:
    path = tmp_path / "half.onnx"
    export_entry(dataclasses.replace(small, dtype="float16"), path)
    cost = count_static_cost(path)
    assert (cost.param_count, cost.param_bytes, cost.precision) == (213, 213 * 2, "fp16")


def test_file_of_other_weights_is_a_mismatch(small: ZooEntry, tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    export_entry(small, path, seed=1)
    torch.manual_seed(2)
    example = torch.rand(2, 3, 8, 8)
    with pytest.raises(ExportMismatch, match=r"small\.onnx: ONNX Runtime and torch differ by"):
        compare_with_torch(small.build(small.shape).eval(), path, example)


def test_share_of_an_output_may_differ_where_near_ties_decide(small: ZooEntry, tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    net = small.build(small.shape).eval()
    write_net(net, weights_of(net), path, shape=small.shape, outputs=small.outputs)
    net.get_parameter("logits.bias").data[0] += 1  # one of five logits
    example = torch.rand(2, 3, 8, 8)
    with torch.no_grad():
        largest = float(net(example).abs().max())
    assert compare_with_torch(net, path, example, near_ties=0.2) == pytest.approx(1 / largest, rel=1e-3)
    with pytest.raises(ExportMismatch, match=r"in 20\.00% of an output"):
        compare_with_torch(net, path, example, near_ties=0.19)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_output_that_is_not_finite_is_a_mismatch(small: ZooEntry, tmp_path: Path, value: float) -> None:
    path = tmp_path / "small.onnx"
    net = small.build(small.shape).eval()
    net.get_parameter("logits.bias").data[0] = value
    write_net(net, weights_of(net), path, shape=small.shape, outputs=small.outputs)
    with pytest.raises(ExportMismatch, match="NaN or infinity"):
        compare_with_torch(net, path, torch.rand(2, 3, 8, 8), near_ties=0.5)


def test_output_of_zeros_equals_itself(small: ZooEntry, tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    net = small.build(small.shape).eval()
    for parameter in net.parameters():
        parameter.data.zero_()
    write_net(net, weights_of(net), path, shape=small.shape, outputs=small.outputs)
    assert compare_with_torch(net, path, torch.rand(2, 3, 8, 8)) == 0


def test_other_number_of_classes_is_a_mismatch(small: ZooEntry, tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    export_entry(small, path)
    with pytest.raises(ExportMismatch, match=r"shapes \[\(2, 5\)\], torch \[\(2, 6\)\]"):
        compare_with_torch(small.build(NetShape(classes=6)).eval(), path, torch.rand(2, 3, 8, 8))


def test_input_is_called_image(small: ZooEntry, tmp_path: Path) -> None:
    export_entry(small, tmp_path / "small.onnx")
    assert [value.name for value in onnx.load(tmp_path / "small.onnx").graph.input] == [INPUT] == ["image"]
