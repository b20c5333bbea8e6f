"""Each quantiser writes one ordinary ONNX file that ONNX Runtime runs, smaller and nearly as right; what it cannot do it says."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from compression.datasets import Samples
from compression.errors import DataUnusable, ModelUnusable
from compression.evaluation import predict_logits
from compression.quantisation import quantise_dynamic, quantise_static, to_half, to_int4
from compression.quantisation.grids import read_quantised
from compression.quantisation.int4 import quantise_int4
from tests.factories.nets import change_weight, digits, write_classifier, write_graph

Quantiser = Callable[[Path, Path, Samples], object]

QUANTISERS: dict[str, Quantiser] = {
    "minmax": lambda source, target, samples: quantise_static(source, target, samples, per_channel=True),
    "percentile": lambda source, target, samples: quantise_static(source, target, samples, method="percentile"),
    "entropy": lambda source, target, samples: quantise_static(source, target, samples, method="entropy"),
    "dynamic": lambda source, target, _samples: quantise_dynamic(source, target),
    "fp16": lambda source, target, _samples: to_half(source, target),
    "int4": lambda source, target, _samples: to_int4(source, target, block=32, smallest=1),
}
LARGEST = {"fp16": 0.62, "int4": 0.5}


@pytest.fixture(scope="module")
def samples() -> Samples:
    return digits(200)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_classifier(tmp_path_factory.mktemp("nets") / "fp32.onnx", digits(600))


def right(path: Path, samples: Samples) -> float:
    return float((predict_logits(path, samples.images).argmax(axis=1) == samples.classes).mean())


@pytest.mark.parametrize("name", QUANTISERS)
def test_quantised_file_is_ordinary_onnx_smaller_and_nearly_as_right(
    name: str, source: Path, samples: Samples, tmp_path: Path
) -> None:
    target = tmp_path / "small.onnx"
    QUANTISERS[name](source, target, samples)
    onnx.checker.check_model(target, full_check=True)
    assert target.stat().st_size < source.stat().st_size * LARGEST.get(name, 0.7)
    assert right(target, samples) >= right(source, samples) - 0.03
    ports = [
        port.type.tensor_type.elem_type for port in (*onnx.load(target).graph.input, *onnx.load(target).graph.output)
    ]
    assert ports == [onnx.TensorProto.FLOAT] * 2
    again = tmp_path / "again.onnx"
    QUANTISERS[name](source, again, samples)
    assert again.read_bytes() == target.read_bytes()


def test_half_rounds_every_weight_to_its_nearest_and_nothing_else(
    source: Path, samples: Samples, tmp_path: Path
) -> None:
    to_half(source, tmp_path / "half.onnx")
    stored = {
        tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(tmp_path / "half.onnx").graph.initializer
    }
    rounded = source
    for number, (name, array) in enumerate(stored.items()):
        rounded = change_weight(
            rounded, tmp_path / f"{number}.onnx", name, lambda _, array=array: array.astype(np.float32)
        )
    expected, found = (predict_logits(path, samples.images) for path in (rounded, tmp_path / "half.onnx"))
    np.testing.assert_array_equal(found, expected)


def test_half_refuses_what_it_cannot_hold_by_name(source: Path, tmp_path: Path) -> None:
    large = change_weight(source, tmp_path / "large.onnx", "fc.weight", lambda array: array * 1e6)
    with pytest.raises(ModelUnusable, match=r"large\.onnx: fc.weight has values beyond 65504"):
        to_half(large, tmp_path / "half.onnx")


@pytest.mark.parametrize(
    ("shape", "axis", "block"), [((6, 40), 1, 16), ((40, 6), 0, 16), ((5, 3, 3, 3), 0, 0), ((7, 33), 1, 32)]
)
def test_int4_codes_are_within_half_a_step_unless_clipped(shape: tuple[int, ...], axis: int, block: int) -> None:
    weight = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    codes, scales = quantise_int4(weight, axis, block)
    assert codes.shape == weight.shape
    assert np.abs(codes).max() <= 7
    if block:
        assert scales.shape == tuple(-(-size // block) if place == axis else size for place, size in enumerate(shape))
        spread = np.repeat(scales, block, axis=axis).take(range(shape[axis]), axis=axis)
    else:
        spread = scales.reshape([-1 if place == axis else 1 for place in range(len(shape))])
    inside = np.abs(codes) < 7
    error = np.abs(codes * spread - weight)
    assert (error[inside] <= np.broadcast_to(spread, shape)[inside] * 0.5001).all()
    assert error.mean() < 0.2


def test_int4_blocks_a_matmul_of_many_inputs_as_the_runtime_does(tmp_path: Path) -> None:
    chance = np.random.default_rng(5)
    weight = chance.normal(size=(96, 10)).astype(np.float32)
    path = write_graph(
        tmp_path / "matmul.onnx",
        [helper.make_node("MatMul", ["x", "w"], ["y"], "dense")],
        {"w": weight},
        inputs={"x": ["N", 96]},
        outputs={"y": ["N", 10]},
    )
    [layer] = to_int4(path, tmp_path / "int4.onnx", block=32)
    assert (layer.weight, layer.axis, layer.block) == ("w", 0, 32)
    inputs = chance.normal(size=(20, 96)).astype(np.float32)
    codes, scales = quantise_int4(weight, 0, 32)
    expected = inputs @ (codes * np.repeat(scales, 32, axis=0))
    # ONNX Runtime makes its MatMulNBits of it, which rounds activations too: about a hundredth of a logit of 20.
    np.testing.assert_allclose(predict_logits(tmp_path / "int4.onnx", inputs), expected, atol=0.3)


@pytest.mark.parametrize("name", ["fp16", "int4"])
def test_weights_that_an_older_exporter_lists_among_the_inputs_are_made_smaller_as_well(
    name: str, source: Path, samples: Samples, tmp_path: Path
) -> None:
    model = onnx.load(source)
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    onnx.save(model, tmp_path / "listed.onnx")
    QUANTISERS[name](tmp_path / "listed.onnx", tmp_path / "small.onnx", samples)
    onnx.checker.check_model(tmp_path / "small.onnx", full_check=True)
    QUANTISERS[name](source, tmp_path / "plain.onnx", samples)
    small, plain = onnx.load(tmp_path / "small.onnx"), onnx.load(tmp_path / "plain.onnx")
    assert list(small.graph.initializer) == list(plain.graph.initializer)
    np.testing.assert_array_equal(
        predict_logits(tmp_path / "small.onnx", samples.images), predict_logits(tmp_path / "plain.onnx", samples.images)
    )


def test_int4_leaves_a_vector_as_it_is(tmp_path: Path) -> None:
    path = write_graph(
        tmp_path / "vector.onnx",
        [helper.make_node("MatMul", ["x", "w"], ["h"], "dense"), helper.make_node("MatMul", ["h", "v"], ["y"], "sum")],
        {"w": np.ones((64, 64), np.float32), "v": np.ones(64, np.float32)},
        inputs={"x": ["N", 64]},
        outputs={"y": ["N"]},
    )
    assert [layer.weight for layer in to_int4(path, tmp_path / "int4.onnx")] == ["w"]


def test_int4_of_a_model_without_such_layers_is_refused(tmp_path: Path) -> None:
    path = write_graph(
        tmp_path / "relu.onnx",
        [helper.make_node("Relu", ["x"], ["y"], "relu")],
        {},
        inputs={"x": ["N", 4]},
        outputs={"y": ["N", 4]},
    )
    with pytest.raises(ModelUnusable, match=r"relu\.onnx has no Conv, MatMul or Gemm"):
        to_int4(path, tmp_path / "int4.onnx")
    with pytest.raises(ModelUnusable, match=r"relu\.onnx has no float32 weights"):
        to_half(path, tmp_path / "half.onnx")


@pytest.mark.parametrize("name", QUANTISERS)
def test_weight_that_is_not_finite_is_refused_by_name(
    name: str, source: Path, samples: Samples, tmp_path: Path
) -> None:
    broken = change_weight(source, tmp_path / "nan.onnx", "fc.weight", lambda array: array * np.float32(np.nan))
    with pytest.raises(ModelUnusable, match=r"nan\.onnx: tensor fc.weight has values that are not a number"):
        QUANTISERS[name](broken, tmp_path / "small.onnx", samples)


@pytest.mark.parametrize("name", ["minmax", "dynamic", "int4"])
def test_quantised_file_is_not_quantised_again(name: str, source: Path, samples: Samples, tmp_path: Path) -> None:
    once = tmp_path / "once.onnx"
    quantise_static(source, once, samples)
    with pytest.raises(ModelUnusable, match=r"once\.onnx is quantised already"):
        QUANTISERS[name](once, tmp_path / "twice.onnx", samples)


def test_file_that_is_no_onnx_is_refused(samples: Samples, tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("this is no model")
    with pytest.raises(ModelUnusable, match=r"text\.onnx is no ONNX file"):
        quantise_static(tmp_path / "text.onnx", tmp_path / "small.onnx", samples)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"picture": np.zeros((4, 1, 8, 8), np.float32)}, "has an input 'image', the samples have picture"),
        ({"image": np.zeros((4, 1, 8, 8), np.float64)}, "input 'image' takes float32, the samples are float64"),
        (
            {"image": np.zeros((4, 1, 9, 8), np.float32)},
            r"input 'image' takes \['N', 1, 8, 8\], the samples are \[4, 1, 9, 8\]",
        ),
        ({"image": np.zeros((4, 64), np.float32)}, r"input 'image' takes \['N', 1, 8, 8\], the samples are \[4, 64\]"),
    ],
)
def test_samples_that_do_not_fit_are_refused_by_input_type_and_shape(
    inputs: dict[str, np.ndarray], said: str, source: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataUnusable, match=said):
        quantise_static(source, tmp_path / "small.onnx", Samples(inputs, None))


def test_excluded_node_stays_in_float_and_an_unknown_one_is_named(
    source: Path, samples: Samples, tmp_path: Path
) -> None:
    quantise_static(source, tmp_path / "part.onnx", samples, exclude=["fc"])
    model = onnx.load(tmp_path / "part.onnx")
    assert [grid.weight for grid in read_quantised(source, model).grids if not grid.is_bias] == ["conv.weight"]
    with pytest.raises(ModelUnusable, match=r"has no node 'fd' to exclude"):
        quantise_static(source, tmp_path / "part.onnx", samples, exclude=["fd"])


def test_model_with_a_fixed_batch_is_calibrated_by_batches_of_that_size(
    samples: Samples, source: Path, tmp_path: Path
) -> None:
    model = onnx.load(source)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, tmp_path / "one.onnx")
    quantise_static(tmp_path / "one.onnx", tmp_path / "small.onnx", samples.first(20))
    assert (tmp_path / "small.onnx").stat().st_size < source.stat().st_size
