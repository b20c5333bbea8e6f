"""A net made from an ONNX file computes what ONNX Runtime computes, trains as torch does, and writes back what it read."""

import copy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import client
from compression.datasets import Samples
from compression.errors import DataUnusable, ModelUnusable
from compression.onnx_torch import OnnxNet, check_samples, feeds_of, load_net

DEMO = Path(client.__file__).parent / "demo_data"
MODELS = sorted(DEMO.glob("*.onnx"))


class Small(nn.Module):
    """A little of everything that small nets are made of."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6, momentum=0.3)
        self.depthwise = nn.Conv2d(6, 6, 3, stride=2, padding=1, groups=6)
        self.up = nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, output_padding=1)
        self.rows = nn.LSTM(32, 5, bidirectional=True, batch_first=True)
        self.head = nn.Linear(10, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        x = nn.functional.hardswish(self.up(self.depthwise(x)))
        x = nn.functional.interpolate(x, scale_factor=0.5, mode="bilinear")
        rows, _ = self.rows(torch.cat([x, x * 0.5], dim=1).transpose(1, 2).flatten(2))
        out: torch.Tensor = self.head(rows[:, -1])
        return out


def _export(module: nn.Module, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the exporter says of itself and of the LSTM's batch size
        torch.onnx.export(
            copy.deepcopy(module),
            (torch.zeros(1, 1, 8, 8),),
            path,
            dynamo=False,
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
            opset_version=17,
            input_names=["image"],
            output_names=["logits"],
        )


@pytest.fixture
def small(tmp_path: Path) -> tuple[Small, Path]:
    torch.manual_seed(3)
    module = Small().eval()
    _export(module, tmp_path / "small.onnx")
    return module, tmp_path / "small.onnx"


def _graph(
    nodes: list[onnx.NodeProto], tensors: list[onnx.TensorProto], *, dtype: int = TensorProto.FLOAT, opset: int = 17
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", dtype, ["N", 4])],
        [helper.make_tensor_value_info("y", dtype, ["N", None])],
        tensors,
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid("example.org", 1)], ir_version=8
    )


def _dense(weight: TensorProto) -> onnx.ModelProto:
    return _graph([helper.make_node("Gemm", ["x", weight.name], ["y"], "dense")], [weight])


def _saved(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "tiny.onnx"
    onnx.save(model, path)
    return path


def _runtime(path: Path, feeds: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    found: list[NDArray[Any]] = onnxruntime.InferenceSession(path).run(None, feeds)
    return found


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_demo_model_decides_as_in_the_runtime_and_is_written_back_byte_for_byte(path: Path, tmp_path: Path) -> None:
    net = load_net(path)
    with np.load(DEMO / f"{path.stem.rsplit('-', 1)[0]}.samples.npz", allow_pickle=False) as samples:
        images = samples["input:image"]
    (expected,) = _runtime(path, {"image": images})
    with torch.no_grad():
        found = net({"image": torch.from_numpy(images)})["logits"].numpy()
    # Sums in another order move a value near a half to the next int8 code; in float32 they are all that differs.
    np.testing.assert_allclose(found, expected, atol=1e-5 if "fp32" in path.stem else 0.2)
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.95
    net.write(tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == path.read_bytes()


def test_exported_net_computes_what_torch_and_the_runtime_do(small: tuple[Small, Path]) -> None:
    module, path = small
    image = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    found = load_net(path)({"image": image})["logits"]
    torch.testing.assert_close(found, module(image), atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(found.detach().numpy(), _runtime(path, {"image": image.numpy()})[0], atol=1e-5)


def test_train_mode_has_the_gradients_and_moves_the_statistics_of_torch(small: tuple[Small, Path]) -> None:
    module, path = small
    net = load_net(path).train()
    module.train()
    images = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    module(images).square().sum().backward()
    net({"image": images})["logits"].square().sum().backward()
    own = dict(module.named_parameters())
    shared = [name for name in net.weights if name in own and own[name].grad is not None]
    assert {"stem.weight", "norm.weight", "norm.bias", "depthwise.weight", "up.weight", "head.weight"} <= set(shared)
    for name in shared:
        torch.testing.assert_close(net.weights[name].grad, own[name].grad, atol=1e-5, rtol=1e-4)
    # An untrained net's zeros and ones are stored once by the exporter: their names are lost, their places are not.
    (norm,) = [node for node in onnx.load(path).graph.node if node.op_type == "BatchNormalization"]
    assert set(net.statistics) == set(norm.input[3:])
    torch.testing.assert_close(net.statistics[norm.input[3]], module.norm.running_mean)
    torch.testing.assert_close(net.statistics[norm.input[4]], module.norm.running_var)


def test_trained_net_is_written_with_its_graph_and_runs_in_the_runtime(
    small: tuple[Small, Path], tmp_path: Path
) -> None:
    _, path = small
    net = load_net(path).train()
    image = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    optimiser = torch.optim.Adam([weight for weight in net.parameters() if weight.requires_grad], lr=0.01)
    net({"image": image})["logits"].sum().backward()
    optimiser.step()
    net.write(tmp_path / "tuned.onnx")
    net.eval()
    before, after = onnx.load(path), onnx.load(tmp_path / "tuned.onnx")
    onnx.checker.check_model(after, full_check=True)
    changed = {
        old.name for old, new in zip(before.graph.initializer, after.graph.initializer, strict=False) if old != new
    }
    assert {"stem.weight", "norm.bias", "head.bias"} <= changed
    parted = [tensor.name for tensor in after.graph.initializer[len(before.graph.initializer) :]]
    assert set(net.statistics) <= set(parted)  # they were copies of the untrained norm's weight and bias
    assert [n for n in before.graph.node if n.output[0] not in parted] == list(after.graph.node)
    with torch.no_grad():
        found = net({"image": image})["logits"].numpy()
    np.testing.assert_allclose(found, _runtime(tmp_path / "tuned.onnx", {"image": image.numpy()})[0], atol=1e-4)


def test_weights_given_instead_get_the_gradients_and_stay_out_of_the_file(tmp_path: Path) -> None:
    path = _saved(_dense(numpy_helper.from_array(np.ones((4, 2), np.float32), "w")), tmp_path)
    net = load_net(path)
    step = torch.tensor(0.5, requires_grad=True)
    codes = torch.ones(4, 2)
    found = net({"x": torch.ones(1, 4)}, instead={"w": net.weights["w"].detach() + step * codes})["y"]
    assert found.tolist() == [[6.0, 6.0]]
    found.sum().backward()
    assert step.grad is not None
    assert step.grad.item() == 8.0
    net.write(tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == path.read_bytes()


def _normalised(*, mean: str = "mean") -> onnx.ModelProto:
    tensors = [
        numpy_helper.from_array(np.array(values, np.float32), name)
        for name, values in {"scale": [1, 2], "shift": [0, 1], "mean": [0.5, 0], "variance": [1, 4]}.items()
    ]
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["r"]),
        helper.make_node("BatchNormalization", ["r", "scale", "shift", mean, "variance"], ["n"], "norm", momentum=0.75),
        helper.make_node("Flatten", ["n"], ["y"]),
    ]
    return _graph(nodes, [*tensors, numpy_helper.from_array(np.array([-1, 2, 2], np.int64), "shape")])


def test_running_statistics_move_by_what_onnx_calls_momentum_and_are_no_weights() -> None:
    net = OnnxNet(_normalised()).train()
    assert list(net.weights) == ["scale", "shift"]
    net({"x": torch.tensor([[1.0, 1.0, 8.0, 8.0], [3.0, 3.0, 8.0, 8.0]])})
    assert net.statistics["mean"].tolist() == pytest.approx([0.75 * 0.5 + 0.25 * 2, 0.25 * 8])
    assert net.statistics["variance"].tolist() == pytest.approx([0.75 + 0.25 * 4 / 3, 3])


def test_statistics_given_instead_get_gradients_and_are_not_moved() -> None:
    net = OnnxNet(_normalised())
    x = torch.arange(8.0).reshape(2, 4)
    expected = net({"x": x})["y"]
    mean = torch.tensor([0.5, 0.0], requires_grad=True)
    found = net({"x": x}, instead={"mean": mean})["y"]
    torch.testing.assert_close(found, expected)
    found.sum().backward()
    assert mean.grad is not None
    assert mean.grad.tolist() == pytest.approx([-4, -4], rel=1e-4)
    net.train()({"x": x}, instead={"mean": mean})
    assert mean.tolist() == [0.5, 0.0]


def test_statistic_that_is_a_weight_too_cannot_be_trained() -> None:
    net = OnnxNet(_normalised(mean="shift"))
    with pytest.raises(
        ModelUnusable, match="BatchNormalization norm: its running statistics are no constants of their own"
    ):
        net.train()


def test_inner_values_are_returned_beside_the_outputs() -> None:
    net = OnnxNet(
        _graph([helper.make_node("Relu", ["x"], ["h"]), helper.make_node("Neg", ["h"], ["y"])], []),
    )
    found = net({"x": torch.tensor([[-1.0, 2.0, 0.0, 3.0]])}, also=["h"])
    assert found["h"].tolist() == [[0.0, 2.0, 0.0, 3.0]]
    assert list(found) == ["y", "h"]
    with pytest.raises(ModelUnusable, match="no value hidden"):
        net({"x": torch.zeros(1, 4)}, also=["hidden"])


def test_dropout_drops_in_train_mode_only() -> None:
    ratio = numpy_helper.from_array(np.array(0.5, np.float32), "ratio")
    net = OnnxNet(_graph([helper.make_node("Dropout", ["x", "ratio"], ["y"])], [ratio]))
    feeds = {"x": torch.ones(500, 4)}
    assert net(feeds)["y"].eq(1).all()
    torch.manual_seed(0)
    dropped = net.train()(feeds)["y"]
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert dropped.mean().item() == pytest.approx(1, abs=0.1)


def test_settings_and_single_numbers_are_left_alone_by_an_optimiser() -> None:
    tensors = [
        numpy_helper.from_array(np.array(-1, np.float32), "low"),
        numpy_helper.from_array(np.array([0.5], np.float32), "scale"),
        numpy_helper.from_array(np.array(3, np.int8), "zero"),
        numpy_helper.from_array(np.array([1, 2, 3, 4], np.float32), "factor"),
        numpy_helper.from_array(np.array(2, np.float32), "two"),
    ]
    nodes = [
        helper.make_node("Clip", ["x", "low"], ["a"]),
        helper.make_node("QuantizeLinear", ["a", "scale", "zero"], ["b"]),
        helper.make_node("DequantizeLinear", ["b", "scale", "zero"], ["c"]),
        helper.make_node("Mul", ["c", "factor"], ["d"]),
        helper.make_node("Mul", ["d", "two"], ["y"]),
    ]
    net = OnnxNet(_graph(nodes, tensors))
    assert [name for name, weight in net.weights.items() if weight.requires_grad] == ["factor"]
    assert set(net.weights) == {"low", "scale", "factor", "two"}


def test_gradients_pass_straight_through_rounding_and_stop_where_it_clips() -> None:
    tensors = [
        numpy_helper.from_array(np.array(0.1, np.float32), "scale"),
        numpy_helper.from_array(np.array(0, np.int8), "zero"),
    ]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    x = torch.tensor([[0.26, -0.04, 100.0, -0.25]], requires_grad=True)
    found = OnnxNet(_graph(nodes, tensors))({"x": x})["y"]
    # Halves go to the even code.
    torch.testing.assert_close(found, torch.tensor([[0.3, 0.0, 12.7, -0.2]]))
    found.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.tensor([[1.0, 1.0, 0.0, 1.0]]))


@given(
    st.sampled_from([np.float32, np.float16, np.float64]),
    st.booleans(),
    st.lists(st.floats(-1000, 1000, width=16), min_size=8, max_size=8),
)
@settings(max_examples=40, deadline=None)
def test_weight_comes_back_in_its_own_type_and_field(kind: type, raw: bool, values: list[float]) -> None:  # noqa: FBT001
    array: NDArray[Any] = np.array(values, kind).reshape(4, 2)
    data_type = helper.np_dtype_to_tensor_dtype(array.dtype)
    listed = array.tobytes() if raw else array.reshape(-1).tolist()
    tensor = helper.make_tensor("w", data_type, array.shape, listed, raw=raw)
    model = _graph([helper.make_node("Gemm", ["x", "w"], ["y"])], [tensor], dtype=data_type)
    net = OnnxNet(model)
    with torch.no_grad():
        net.weights["w"].mul_(1)
    assert _written(net) == model
    with torch.no_grad():
        net.weights["w"][1, 1] += 1
    (again,) = _written(net).graph.initializer
    assert again.HasField("raw_data") == raw
    expected = array.copy()
    expected[1, 1] += kind(1)
    np.testing.assert_allclose(numpy_helper.to_array(again), expected, rtol=1e-3)
    untouched = np.arange(8).reshape(4, 2) != 3
    assert numpy_helper.to_array(again)[untouched].tobytes() == array[untouched].tobytes()


def _written(net: OnnxNet) -> onnx.ModelProto:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        net.write(Path(folder) / "w.onnx")
        return onnx.load(Path(folder) / "w.onnx")


def test_shared_initializers_and_constant_nodes_are_weights_that_are_written_where_they_were(tmp_path: Path) -> None:
    shared = numpy_helper.from_array(np.eye(4, dtype=np.float32), "shared")
    constant = helper.make_node(
        "Constant", [], ["factor"], value=numpy_helper.from_array(np.full(4, 2, np.float32), "of the node")
    )
    nodes = [
        constant,
        helper.make_node("MatMul", ["x", "shared"], ["a"]),
        helper.make_node("Mul", ["a", "factor"], ["b"]),
        helper.make_node("MatMul", ["b", "shared"], ["y"]),
    ]
    net = load_net(_saved(_graph(nodes, [shared]), tmp_path))
    assert [layer.weight for layer in net.layers] == ["shared", "shared"]
    assert net({"x": torch.ones(1, 4)})["y"].tolist() == [[2.0] * 4]
    with torch.no_grad():
        net.weights["factor"].fill_(3)
        net.weights["shared"].mul_(2)
    net.write(tmp_path / "again.onnx")
    (found,) = _runtime(tmp_path / "again.onnx", {"x": np.ones((1, 4), np.float32)})
    assert found.tolist() == [[12.0] * 4]
    assert onnx.load(tmp_path / "again.onnx").graph.node[0].attribute[0].t.name == "of the node"


def test_layers_name_their_tensors_and_axes() -> None:
    def zeros(name: str, *shape: int) -> TensorProto:
        return numpy_helper.from_array(np.zeros(shape, np.float32), name)

    nodes = [
        helper.make_node("Gemm", ["x", "g", "gb"], ["a"], "first", transB=1),
        helper.make_node("MatMul", ["a", "m"], ["b"], "second"),
        helper.make_node("Add", ["b", "mb"], ["c"]),
        helper.make_node("Transpose", ["t"], ["tt"], perm=[1, 0]),
        helper.make_node("MatMul", ["c", "tt"], ["d"]),
        helper.make_node("Reshape", ["d", "shape"], ["e"]),
        helper.make_node("Conv", ["e", "k", "kb"], ["f"], "grouped", group=2),
        helper.make_node("ConvTranspose", ["f", "u"], ["h"], "up", group=2),
        helper.make_node("Flatten", ["h"], ["y"]),
    ]
    tensors = [
        *(zeros("g", 6, 4), zeros("gb", 6), zeros("m", 6, 5), zeros("mb", 5), zeros("t", 4, 5)),
        *(zeros("k", 8, 1, 1, 1), zeros("kb", 8), zeros("u", 8, 3, 1, 1)),
        numpy_helper.from_array(np.array([-1, 2, 1, 2], np.int64), "shape"),
    ]
    net = OnnxNet(_graph(nodes, tensors))
    found = [(x.name, x.op, x.weight, x.bias, x.out_axis, x.in_axis, x.groups) for x in net.layers]
    assert found == [
        ("first", "Gemm", "g", "gb", 0, 1, 1),
        ("second", "MatMul", "m", "mb", 1, 0, 1),
        ("d", "MatMul", "t", None, 0, 1, 1),
        ("grouped", "Conv", "k", "kb", 0, 1, 2),
        ("up", "ConvTranspose", "u", None, 1, 0, 2),
    ]
    assert net({"x": torch.zeros(3, 4)})["y"].shape == (3, 12)


def test_weight_behind_fake_quantisation_is_the_layers(tmp_path: Path) -> None:
    tensors = [
        numpy_helper.from_array(np.ones((4, 2), np.float32), "w"),
        numpy_helper.from_array(np.array([0.1, 0.2], np.float32), "scale"),
        numpy_helper.from_array(np.zeros(2, np.int8), "zero"),
    ]
    nodes = [
        helper.make_node("QuantizeLinear", ["w", "scale", "zero"], ["q"], axis=1),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["dq"], axis=1),
        helper.make_node("MatMul", ["x", "dq"], ["y"], "dense"),
    ]
    net = OnnxNet(_graph(nodes, tensors))
    assert [(layer.weight, layer.out_axis) for layer in net.layers] == [("w", 1)]
    net({"x": torch.ones(1, 4)})["y"].sum().backward()
    assert net.weights["w"].grad is not None


def test_half_precision_net_is_trained_in_single_and_written_in_half(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.full((4, 2), 0.1, np.float16), "w")
    path = _saved(_graph([helper.make_node("Gemm", ["x", "w"], ["y"])], [weight], dtype=TensorProto.FLOAT16), tmp_path)
    net = load_net(path)
    assert net.weights["w"].dtype == torch.float32
    with torch.no_grad():
        net.weights["w"].add_(1e-6)
    net.write(tmp_path / "same.onnx")
    assert (tmp_path / "same.onnx").read_bytes() == path.read_bytes()
    with torch.no_grad():
        net.weights["w"].add_(1)
    net.write(tmp_path / "more.onnx")
    (found,) = _runtime(tmp_path / "more.onnx", {"x": np.ones((1, 4), np.float16)})
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, np.full((1, 2), 4.4), rtol=2e-3)
    with torch.no_grad():
        net.weights["w"].fill_(1e6)
    with pytest.raises(ModelUnusable, match="tensor w has values up to 1e"):
        net.write(tmp_path / "never.onnx")
    assert not (tmp_path / "never.onnx").exists()


def test_copy_of_a_net_is_its_own(tmp_path: Path) -> None:
    net = load_net(MODELS[0])
    other = copy.deepcopy(net)
    with torch.no_grad():
        next(iter(other.weights.values())).zero_()
    assert not torch.equal(next(iter(net.weights.values())), next(iter(other.weights.values())))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (_graph([helper.make_node("Det", ["x"], ["y"], "odd")], []), "Det odd: this operator is not supported"),
        (
            _graph([helper.make_node("Custom", ["x"], ["y"], "mine", domain="example.org")], []),
            "example.org:Custom mine: this operator is not supported",
        ),
        (
            _graph(
                [
                    helper.make_node(
                        "If",
                        ["c"],
                        ["y"],
                        "branch",
                        then_branch=helper.make_graph(
                            [helper.make_node("Identity", ["x"], ["t"])],
                            "then",
                            [],
                            [helper.make_empty_tensor_value_info("t")],
                        ),
                        else_branch=helper.make_graph(
                            [helper.make_node("Identity", ["x"], ["e"])],
                            "else",
                            [],
                            [helper.make_empty_tensor_value_info("e")],
                        ),
                    )
                ],
                [numpy_helper.from_array(np.ones((), np.bool_), "c")],
            ),
            "If branch: control flow is not supported",
        ),
        (
            _dense(numpy_helper.from_array(np.array([[np.nan]], np.float32), "fire2.weight")),
            "tensor fire2.weight has values that are not a number",
        ),
        (_graph([helper.make_node("Relu", ["nothing"], ["y"])], []), "no valid ONNX"),
        (_graph([helper.make_node("Relu", ["x"], ["y"])], [], opset=6), "operator set 6 is older than 7"),
    ],
    ids=["operator", "domain", "control-flow", "nan", "invalid", "old"],
)
def test_model_that_cannot_be_worked_on_is_refused_by_name(
    model: onnx.ModelProto, message: str, tmp_path: Path
) -> None:
    path = _saved(model, tmp_path)
    with pytest.raises(ModelUnusable, match=f"^tiny.onnx: {message}"):
        load_net(path)


def test_weights_outside_the_file_are_refused(tmp_path: Path) -> None:
    model = _dense(numpy_helper.from_array(np.ones((4, 512), np.float32), "w"))
    onnx.save(model, tmp_path / "tiny.onnx", save_as_external_data=True, location="tiny.bin", size_threshold=0)
    with pytest.raises(ModelUnusable, match="tensor w is kept outside the ONNX file"):
        load_net(tmp_path / "tiny.onnx")


def test_file_that_is_missing_or_no_onnx_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match="No such file"):
        load_net(tmp_path / "nowhere.onnx")
    (tmp_path / "text.onnx").write_text("no model at all")
    with pytest.raises(ModelUnusable, match=r"text.onnx: no ONNX file"):
        load_net(tmp_path / "text.onnx")


def test_weight_that_became_nan_is_not_written(tmp_path: Path) -> None:
    net = OnnxNet(_dense(numpy_helper.from_array(np.ones((4, 2), np.float32), "w")))
    with torch.no_grad():
        net.weights["w"][0, 0] = float("nan")
    with pytest.raises(ModelUnusable, match="tensor w has values that are not a number"):
        net.write(tmp_path / "never.onnx")
    assert not (tmp_path / "never.onnx").exists()


def test_shapes_that_do_not_fit_name_the_node() -> None:
    net = OnnxNet(_dense(numpy_helper.from_array(np.ones((5, 2), np.float32), "w")))
    with pytest.raises(ModelUnusable, match=r"Gemm dense: cannot be computed on inputs of shape \[1, 4\], \[5, 2\]"):
        net({"x": torch.ones(1, 4)})


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"image": np.ones((3, 4), np.float32)}, "the model's inputs are x; the samples have image"),
        ({"x": np.ones((3, 4))}, "input x takes float32, the samples have float64"),
        ({"x": np.ones((3, 5), np.float32)}, r"input x takes \[N, 4\], the samples are N times \[5\]"),
        ({"x": np.ones((3, 4, 1), np.float32)}, r"input x takes \[N, 4\], the samples are N times \[4, 1\]"),
        ({"x": np.ones((0, 4), np.float32)}, "there are no samples"),
    ],
)
def test_samples_that_do_not_fit_name_the_input(inputs: dict[str, NDArray[Any]], message: str) -> None:
    net = OnnxNet(_graph([helper.make_node("Relu", ["x"], ["y"])], []))
    with pytest.raises(DataUnusable, match=message):
        check_samples(net, Samples(inputs, None))


def test_samples_that_fit_are_fed() -> None:
    net = OnnxNet(_graph([helper.make_node("Relu", ["x"], ["y"])], []))
    samples = Samples({"x": np.ones((3, 4), np.float32)}, None)
    check_samples(net, samples)
    assert net(feeds_of(samples))["y"].shape == (3, 4)


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({}, "the model's inputs are x; fed are none"),
        ({"x": torch.ones(1, 4), "z": torch.ones(1)}, "fed are x, z"),
        ({"x": torch.ones(1, 4, dtype=torch.int64)}, "input x takes FLOAT, fed is torch.int64"),
    ],
)
def test_feeds_that_do_not_fit_are_refused(feeds: dict[str, torch.Tensor], message: str) -> None:
    net = OnnxNet(_graph([helper.make_node("Relu", ["x"], ["y"])], []))
    with pytest.raises(DataUnusable, match=message):
        net(feeds)


def test_weight_given_instead_of_none_is_refused() -> None:
    net = OnnxNet(_graph([helper.make_node("Relu", ["x"], ["y"])], []))
    with pytest.raises(ModelUnusable, match="no weight w"):
        net({"x": torch.ones(1, 4)}, instead={"w": torch.ones(1)})
