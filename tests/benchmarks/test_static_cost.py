"""MACs, parameters and activations of graphs small enough to count by hand, and of published networks."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.errors import ModelUnloadable
from benchmarks.static_cost import count_static_cost, static_cost_of

F32, I8, U8, I64 = TensorProto.FLOAT, TensorProto.INT8, TensorProto.UINT8, TensorProto.INT64
MakeModel = Callable[..., onnx.ModelProto]
Array = np.ndarray[Any, Any]
ZOO = Path(onnx.__file__).parent / "backend/test/data/light"


def _zeros(*shape: int, dtype: Any = np.float32) -> Array:
    return np.zeros(shape, dtype)


def _pair(act: str, weight: str) -> str:
    return f"{act}\u00d7{weight}"


FP32 = _pair("float32", "float32")


@pytest.mark.parametrize(
    ("op", "attributes", "x", "weights", "macs"),
    [
        # 8 output channels of 5x5, each from 4 / 2 input channels of its group and a 3x3 kernel
        ("Conv", {"group": 2}, [1, 4, 5, 5], {"w": _zeros(8, 2, 3, 3)}, 8 * 3 * 3 * 2 * 9),
        ("Conv", {"group": 4, "pads": [1, 1, 1, 1]}, [1, 4, 5, 5], {"w": _zeros(4, 1, 3, 3)}, 4 * 25 * 9),
        ("Conv", {}, [2, 3, 7], {"w": _zeros(6, 3, 1)}, 2 * 6 * 7 * 3),
        # each of the 4 x 25 inputs meets 6 output channels and a 3x3 kernel
        ("ConvTranspose", {}, [1, 4, 5, 5], {"w": _zeros(4, 6, 3, 3)}, 100 * 6 * 9),
        ("Gemm", {}, [2, 5], {"w": _zeros(5, 7)}, 2 * 5 * 7),
        ("Gemm", {"transB": 1}, [2, 5], {"w": _zeros(7, 5)}, 2 * 5 * 7),
        ("Gemm", {"transA": 1}, [5, 2], {"w": _zeros(5, 7)}, 2 * 5 * 7),
        ("MatMul", {}, [3, 2, 5], {"w": _zeros(5, 7)}, 3 * 2 * 5 * 7),
        ("MatMul", {}, [5], {"w": _zeros(5, 7)}, 5 * 7),
        # 9 steps, batch 2, 4 gates (LSTM), 3 (GRU), 1 (RNN), 5 inputs, 6 hidden
        ("LSTM", {"hidden_size": 6}, [9, 2, 5], {"w": _zeros(1, 24, 5), "r": _zeros(1, 24, 6)}, 18 * 24 * 11),
        ("GRU", {"hidden_size": 6}, [9, 2, 5], {"w": _zeros(1, 18, 5), "r": _zeros(1, 18, 6)}, 18 * 18 * 11),
        ("RNN", {"hidden_size": 6}, [9, 2, 5], {"w": _zeros(1, 6, 5), "r": _zeros(1, 6, 6)}, 18 * 6 * 11),
    ],
)
def test_macs_of_one_operator_match_the_count_by_hand(
    *, make_model: MakeModel, op: str, attributes: dict[str, Any], x: list[int], weights: dict[str, Array], macs: int
) -> None:
    node = helper.make_node(op, ["x", *weights], ["y"], **attributes)
    cost = static_cost_of(make_model([node], inputs={"x": (F32, x)}, outputs={"y": (F32, None)}, weights=weights))

    assert cost.macs == {FP32: macs}
    assert cost.macs_total == macs
    assert cost.param_count == sum(array.size for array in weights.values())
    assert cost.param_bytes == 4 * cost.param_count
    assert cost.ops_uncounted == {}
    assert cost.precision == "fp32"


SCALE: dict[str, Array] = {"s": np.array(0.1, np.float32), "z": np.array(0, np.uint8), "zi": np.array(0, np.int8)}


@pytest.mark.parametrize(
    ("op", "inputs", "x", "weights", "macs"),
    [
        (
            "QLinearConv",
            ["x", "s", "z", "w", "s", "zi", "s", "z"],
            [1, 3, 5, 5],
            _zeros(4, 3, 3, 3, dtype=np.int8),
            4 * 9 * 27,
        ),
        ("QLinearMatMul", ["x", "s", "z", "w", "s", "zi", "s", "z"], [2, 5], _zeros(5, 7, dtype=np.int8), 70),
        ("ConvInteger", ["x", "w"], [1, 3, 5, 5], _zeros(4, 3, 3, 3, dtype=np.int8), 4 * 9 * 27),
        ("MatMulInteger", ["x", "w"], [2, 5], _zeros(5, 7, dtype=np.int8), 70),
    ],
)
def test_macs_of_integer_operators_are_keyed_by_their_integers(
    *, make_model: MakeModel, op: str, inputs: list[str], x: list[int], weights: Array, macs: int
) -> None:
    out = U8 if op.startswith("QLinear") else TensorProto.INT32
    cost = static_cost_of(
        make_model(
            [helper.make_node(op, inputs, ["y"])],
            inputs={"x": (U8, x)},
            outputs={"y": (out, None)},
            weights={"w": weights, **{name: SCALE[name] for name in set(inputs) & set(SCALE)}},
        )
    )

    assert cost.macs == {_pair("uint8", "int8"): macs}
    assert cost.precision == "int8"


def _qdq_conv(make_model: MakeModel, *, quantise_input: bool) -> onnx.ModelProto:
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s", "zi"], ["wd"]),
        helper.make_node("Conv", ["xd" if quantise_input else "x", "wd"], ["c"]),
        helper.make_node("QuantizeLinear", ["c", "s", "z"], ["cq"]),
        helper.make_node("DequantizeLinear", ["cq", "s", "z"], ["y"]),
    ]
    if quantise_input:
        nodes.insert(0, helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"]))
        nodes.insert(0, helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]))
    return make_model(
        nodes,
        inputs={"x": (F32, [1, 3, 5, 5])},
        outputs={"y": (F32, None)},
        weights={"w": _zeros(4, 3, 3, 3, dtype=np.int8), **SCALE},
    )


def test_convolution_between_quantise_pairs_counts_as_int8(make_model: MakeModel) -> None:
    cost = static_cost_of(_qdq_conv(make_model, quantise_input=True))

    assert cost.macs == {_pair("uint8", "int8"): 4 * 9 * 27}
    assert cost.precision == "int8"
    # The input (75 floats) with its quantised form, which is the most that is alive at once.
    assert cost.peak_activation_bytes == 75 * 4 + 75


def test_quantised_weights_alone_multiply_as_floats(make_model: MakeModel) -> None:
    cost = static_cost_of(_qdq_conv(make_model, quantise_input=False))

    assert cost.macs == {_pair("float32", "int8"): 4 * 9 * 27}
    assert cost.peak_activation_bytes == 75 * 4 + 36


def test_packed_four_bit_matmul_is_counted_and_shapes_go_on_behind_it(make_model: MakeModel) -> None:
    nodes = [
        helper.make_node(
            "MatMulNBits", ["x", "w", "s"], ["h"], domain="com.microsoft", K=64, N=32, bits=4, block_size=32
        ),
        helper.make_node("MatMul", ["h", "v"], ["y"]),
    ]
    weights = {"w": _zeros(32, 2, 16, dtype=np.uint8), "s": _zeros(64), "v": _zeros(32, 8)}
    cost = static_cost_of(make_model(nodes, inputs={"x": (F32, [3, 64])}, outputs={"y": (F32, None)}, weights=weights))

    assert cost.macs == {_pair("float32", "int4"): 3 * 64 * 32, FP32: 3 * 32 * 8}
    assert cost.param_bytes == 32 * 2 * 16 + 64 * 4 + 32 * 8 * 4
    assert cost.ops_uncounted == {}


def _graph(name: str, nodes: list[onnx.NodeProto], inputs: list[Any], outputs: list[Any]) -> onnx.GraphProto:
    return helper.make_graph(nodes, name, inputs, outputs)


def _value(name: str, dtype: int, shape: list[int] | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def test_branches_count_the_costlier_one(make_model: MakeModel) -> None:
    cheap = _graph("then", [helper.make_node("MatMul", ["x", "w"], ["t"])], [], [_value("t", F32, None)])
    dear = _graph(
        "else",
        [helper.make_node("MatMul", ["x", "v"], ["u"]), helper.make_node("MatMul", ["u", "w"], ["t"])],
        [],
        [_value("t", F32, None)],
    )
    cost = static_cost_of(
        make_model(
            [helper.make_node("If", ["c"], ["y"], then_branch=cheap, else_branch=dear)],
            inputs={"c": (TensorProto.BOOL, []), "x": (F32, [1, 8])},
            outputs={"y": (F32, None)},
            weights={"w": _zeros(8, 4), "v": _zeros(8, 8)},
        )
    )

    assert cost.macs == {FP32: 64 + 32}
    assert cost.op_counts == {"If": 1, "MatMul": 3}
    assert cost.ops_uncounted == {}
    # condition, x, the inner u and t of the larger branch, and y
    assert cost.peak_activation_bytes == 1 + 32 + (32 + 16) + 16


@pytest.mark.parametrize(("trips", "macs", "uncounted"), [(10, 640, {}), (None, 64, {"Loop": 1})])
def test_loops_count_their_trips_or_are_listed(
    make_model: MakeModel, trips: int | None, macs: int, uncounted: dict[str, int]
) -> None:
    body = _graph(
        "body",
        [helper.make_node("MatMul", ["h", "w"], ["h2"]), helper.make_node("Identity", ["go"], ["go2"])],
        [_value("i", I64, []), _value("go", TensorProto.BOOL, []), _value("h", F32, [1, 8])],
        [_value("go2", TensorProto.BOOL, []), _value("h2", F32, [1, 8])],
    )
    weights = {"w": _zeros(8, 8)} | ({} if trips is None else {"m": np.array(trips, np.int64)})
    inputs = {"x": (F32, [1, 8]), "c": (TensorProto.BOOL, [])} | ({"m": (I64, [])} if trips is None else {})
    cost = static_cost_of(
        make_model(
            [helper.make_node("Loop", ["m", "c", "x"], ["y"], body=body)],
            inputs=inputs,
            outputs={"y": (F32, None)},
            weights=weights,
        )
    )

    assert cost.macs == {FP32: macs}
    assert cost.ops_uncounted == uncounted


def test_operators_without_a_rule_are_listed_and_not_counted_as_nothing(make_model: MakeModel) -> None:
    cost = static_cost_of(
        make_model(
            [
                helper.make_node("Einsum", ["x", "w"], ["h"], equation="ij,jk->ik"),
                helper.make_node("Relu", ["h"], ["y"]),
            ],
            inputs={"x": (F32, [2, 3])},
            outputs={"y": (F32, None)},
            weights={"w": _zeros(3, 4)},
        )
    )

    assert cost.ops_uncounted == {"Einsum": 1}
    assert cost.macs == {}


def test_open_dimensions_are_bound_to_one_and_recorded(make_model: MakeModel) -> None:
    model = make_model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        inputs={"x": (F32, ["batch", "time", 6])},
        outputs={"y": (F32, ["batch", "time", 4])},
        weights={"w": _zeros(6, 4)},
    )

    assert static_cost_of(model).bound_dims == {"x": (1, 1, 6)}
    assert static_cost_of(model).macs_total == 24
    assert static_cost_of(model, shapes={"x": (2, 10, 6)}).macs_total == 480
    assert static_cost_of(model).inputs[0].shape == ("batch", "time", 6)
    assert static_cost_of(model).outputs[0].dtype == "float32"


def test_each_parameter_counts_once_wherever_it_is_written(make_model: MakeModel) -> None:
    """Shared initializer, Constant node, and a tensor filled by ConstantOfShape."""
    nodes = [
        helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(_zeros(4, 4))),
        helper.make_node("ConstantOfShape", ["shape"], ["f"]),
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("MatMul", ["a", "w"], ["b"]),
        helper.make_node("MatMul", ["b", "c"], ["d"]),
        helper.make_node("MatMul", ["d", "f"], ["y"]),
    ]
    weights = {"w": _zeros(4, 4), "shape": np.array([4, 5], np.int64)}
    cost = static_cost_of(make_model(nodes, inputs={"x": (F32, [1, 4])}, outputs={"y": (F32, None)}, weights=weights))

    assert cost.param_count == 16 + 2 + 16 + 20
    assert cost.param_bytes == 64 + 16 + 64 + 80
    assert cost.macs_total == 16 * 3 + 20
    assert cost.peak_activation_bytes == 4 * (4 + 5)


def test_shapes_are_followed_through_the_padding_that_pytorch_exports(make_model: MakeModel) -> None:
    """Pads [2, 0] of the last axis arrive as a constant only after six nodes; 12 values and a kernel of 3 give 10."""
    nodes = [
        helper.make_node("ConstantOfShape", ["four"], ["zeros"], value=numpy_helper.from_array(np.zeros(1, np.int64))),
        helper.make_node("Concat", ["two_zero", "zeros"], ["flat"], axis=0),
        helper.make_node("Reshape", ["flat", "pairs"], ["paired"]),
        helper.make_node("Slice", ["paired", "last", "first", "axis", "back"], ["reversed"]),
        helper.make_node("Transpose", ["reversed"], ["turned"], perm=[1, 0]),
        helper.make_node("Reshape", ["turned", "all"], ["pads"]),
        helper.make_node("Pad", ["x", "pads"], ["padded"]),
        helper.make_node("Conv", ["padded", "w"], ["y"]),
    ]
    numbers = {
        "four": [4],
        "two_zero": [2, 0],
        "pairs": [-1, 2],
        "last": [-1],
        "first": [-(2**63) + 1],
        "axis": [0],
        "back": [-1],
        "all": [-1],
    }
    weights = {"w": _zeros(5, 1, 3), **{name: np.array(values, np.int64) for name, values in numbers.items()}}
    cost = static_cost_of(
        make_model(nodes, inputs={"x": (F32, [1, 1, 10])}, outputs={"y": (F32, None)}, weights=weights)
    )

    assert cost.macs == {FP32: 10 * 5 * 3}
    assert cost.ops_uncounted == {}
    assert cost.op_counts["ConstantOfShape"] == 1


@pytest.mark.parametrize(("batch", "macs"), [(1, 8 * 4), (2, 2 * 8 * 16)])
def test_branch_that_the_shapes_decide_is_the_one_that_counts(make_model: MakeModel, batch: int, macs: int) -> None:
    """If the batch is one: a narrow product, otherwise a wide one."""
    one = _graph("then", [helper.make_node("MatMul", ["x", "w"], ["t"])], [], [_value("t", F32, None)])
    many = _graph("else", [helper.make_node("MatMul", ["x", "v"], ["u"])], [], [_value("u", F32, None)])
    nodes = [
        helper.make_node("Shape", ["x"], ["dims"]),
        helper.make_node("Gather", ["dims", "zero"], ["batch"]),
        helper.make_node("Equal", ["batch", "one"], ["is_one"]),
        helper.make_node("If", ["is_one"], ["y"], then_branch=one, else_branch=many),
        helper.make_node("Relu", ["y"], ["z"]),
    ]
    weights = {"w": _zeros(8, 4), "v": _zeros(8, 16), "zero": np.array(0, np.int64), "one": np.array(1, np.int64)}
    model = make_model(nodes, inputs={"x": (F32, ["batch", 8])}, outputs={"z": (F32, None)}, weights=weights)
    cost = static_cost_of(model, shapes={"x": (batch, 8)})

    assert cost.macs == {FP32: macs}
    assert cost.peak_activation_bytes is not None
    assert cost.op_counts["MatMul"] == 2


def test_arithmetic_that_cannot_be_evaluated_is_left_alone(make_model: MakeModel) -> None:
    nodes = [
        helper.make_node("Gather", ["two", "nine"], ["beyond"]),
        helper.make_node("Reshape", ["x", "beyond"], ["h"]),
        helper.make_node("Relu", ["h"], ["y"]),
    ]
    weights = {"two": np.array([1, 2], np.int64), "nine": np.array([9], np.int64)}
    cost = static_cost_of(make_model(nodes, inputs={"x": (F32, [2])}, outputs={"y": (F32, None)}, weights=weights))

    assert cost.op_counts == {"Gather": 1, "Relu": 1, "Reshape": 1}
    assert cost.peak_activation_bytes is None


def test_local_functions_are_counted_where_they_are_called(make_model: MakeModel) -> None:
    model = make_model(
        [
            helper.make_node("Dense", ["x", "w"], ["h"], domain="local"),
            helper.make_node("Dense", ["h", "w"], ["y"], domain="local"),
        ],
        inputs={"x": (F32, [1, 4])},
        outputs={"y": (F32, None)},
        weights={"w": _zeros(4, 4)},
    )
    model.opset_import.append(helper.make_opsetid("local", 1))
    body = [helper.make_node("MatMul", ["a", "b"], ["m"]), helper.make_node("Relu", ["m"], ["c"])]
    model.functions.append(
        helper.make_function("local", "Dense", ["a", "b"], ["c"], body, [helper.make_opsetid("", 18)])
    )

    cost = static_cost_of(model)

    assert cost.macs == {FP32: 32}
    assert cost.op_counts == {"MatMul": 2, "Relu": 2}


def test_peak_is_where_most_tensors_live_together(make_model: MakeModel) -> None:
    """A residual: x (4 floats) waits while the branch widens to 8, so 12 floats; then 8 + 4 + 4."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["wide"]),
        helper.make_node("MatMul", ["wide", "v"], ["narrow"]),
        helper.make_node("Add", ["narrow", "x"], ["y"]),
    ]
    weights = {"w": _zeros(4, 8), "v": _zeros(8, 4)}
    cost = static_cost_of(make_model(nodes, inputs={"x": (F32, [1, 4])}, outputs={"y": (F32, None)}, weights=weights))

    assert cost.peak_activation_bytes == 4 * (4 + 8 + 4)


def test_unknown_shapes_give_no_peak_rather_than_a_wrong_one(make_model: MakeModel) -> None:
    nodes = [helper.make_node("Reshape", ["x", "to"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    cost = static_cost_of(make_model(nodes, inputs={"x": (F32, [8]), "to": (I64, [2])}, outputs={"y": (F32, None)}))

    assert cost.peak_activation_bytes is None
    assert cost.as_artifact()["static"]["peak_activation_bytes"] is None


def test_counting_leaves_the_model_as_it_was(make_model: MakeModel) -> None:
    model = _qdq_conv(make_model, quantise_input=True)
    before = model.SerializeToString(deterministic=True)

    static_cost_of(model)

    assert model.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize(
    ("name", "macs", "param_bytes", "activations"),
    [
        ("light_squeezenet", 349_151_936, 4_942_920, 6_308_352),
        ("light_shufflenet", 124_664_528, 5_684_904, 3_110_912),
        ("light_resnet50", 4_089_184_256, 102_443_820, 9_633_792),
    ],
)
def test_published_networks_have_their_published_cost(name: str, macs: int, param_bytes: int, activations: int) -> None:
    cost = count_static_cost(ZOO / f"{name}.onnx")

    assert cost.macs == {FP32: macs}
    assert abs(cost.param_bytes - param_bytes) < 1000
    assert cost.peak_activation_bytes == activations
    assert cost.ops_uncounted == {}


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no model", b"\x08\x09", b"\xff" * 64])
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)

    with pytest.raises(ModelUnloadable):
        count_static_cost(path)


def test_missing_and_truncated_files_are_refused(tmp_path: Path, classifier: Path) -> None:
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(classifier.read_bytes()[:-20])

    for path in (cut, tmp_path / "missing.onnx"):
        with pytest.raises(ModelUnloadable):
            count_static_cost(path)


def test_negative_dimensions_are_refused(make_model: MakeModel) -> None:
    model = make_model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], inputs={"x": (F32, [1, 4])}, outputs={"y": (F32, None)}
    )
    model.graph.initializer.append(TensorProto(name="w", data_type=F32, dims=[4, -4]))

    with pytest.raises(ModelUnloadable, match="negative"):
        static_cost_of(model)


def test_counting_a_hundred_megabytes_stays_far_below_the_childs_limit(tmp_path: Path, make_model: MakeModel) -> None:
    """The check's child may use 600 MiB; counting peaks at about twice the file plus the interpreter."""
    weights = {f"w{index}": np.ones((5000, 1000), np.float32) for index in range(5)}
    nodes = [helper.make_node("MatMul", ["x", name], [f"y{name}"]) for name in weights]
    model = make_model(
        nodes, inputs={"x": (F32, ["N", 5000])}, outputs={f"y{name}": (F32, None) for name in weights}, weights=weights
    )
    path = tmp_path / "big.onnx"
    onnx.save(model, path)
    assert path.stat().st_size > 100_000_000
    program = (
        "import pathlib, sys\n"
        "from benchmarks.static_cost import count_static_cost\n"
        "print(count_static_cost(pathlib.Path(sys.argv[1])).macs_total)\n"
        "status = pathlib.Path('/proc/self/status').read_text()\n"
        "print(status.split('VmHWM:')[1].split()[0])\n"
    )
    answer = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    macs, peak_kib = map(int, answer.stdout.split())

    assert macs == 25_000_000
    assert peak_kib < 320 * 1024
