"""One net in another precision than the device holds it: ONNX Runtime converts, and the patch holds next to nothing."""

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnxruntime.capi._pybind_state import quantize_matmul_4bits, quantize_matmul_8bits
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16

from delta.arrays import Octets
from delta.encoder import Effort
from delta.encoder.effort import SETTINGS
from delta.encoder.scene import Scene
from tests.delta.conftest import RoundTrip, build

SIZE = 12
CLASSES = 10
SAMPLES = 8


def weights() -> dict[str, NDArray[np.float32]]:
    """Two convolutions and a fully connected layer."""
    numbers = np.random.default_rng(17)
    shapes = {"first": (16, 1, 3, 3), "second": (32, 16, 3, 3), "last": (CLASSES, 32 * (SIZE - 4) ** 2)}
    made = {f"{name}.weight": numbers.normal(0, 0.1, shape) for name, shape in shapes.items()}
    made |= {f"{name}.bias": numbers.normal(0, 0.05, shape[0]) for name, shape in shapes.items()}
    return {name: values.astype(np.float32) for name, values in made.items()}


def net(values: Mapping[str, NDArray[Any]] | None = None) -> bytes:
    """A net that ONNX Runtime runs; its second convolution has a bias where there is one."""
    values = values or weights()
    second = [name for name in ("second.weight", "second.bias") if name in values]
    nodes = [
        helper.make_node("Conv", ["image", "first.weight", "first.bias"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", *second], ["c"]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Flatten", ["d"], ["e"]),
        helper.make_node("Gemm", ["e", "last.weight", "last.bias"], ["logits"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, SIZE, SIZE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", CLASSES])],
        [numpy_helper.from_array(array, name) for name, array in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def unfolded() -> bytes:
    """The net with a batch normalisation after its first convolution, which has a bias, and its second, which has none."""
    numbers = np.random.default_rng(21)
    values = weights()
    del values["second.bias"]
    for name, channels in (("first", 16), ("second", 32)):
        values[f"{name}.gamma"] = numbers.normal(1, 0.4, channels).astype(np.float32)
        values[f"{name}.beta"] = numbers.normal(0, 0.3, channels).astype(np.float32)
        values[f"{name}.mean"] = numbers.normal(0, 0.3, channels).astype(np.float32)
        values[f"{name}.variance"] = numbers.uniform(0.1, 2, channels).astype(np.float32)
    proto = ModelProto.FromString(net(values))
    first, _, second, *_ = proto.graph.node
    for convolution, name, follower in ((first, "first", proto.graph.node[1]), (second, "second", proto.graph.node[3])):
        parts = [f"{name}.{part}" for part in ("gamma", "beta", "mean", "variance")]
        norm = helper.make_node("BatchNormalization", [convolution.output[0], *parts], [f"{name}.normal"])
        follower.input[0] = f"{name}.normal"
        proto.graph.node.insert(list(proto.graph.node).index(convolution) + 1, norm)
    onnx.checker.check_model(proto)
    return bytes(proto.SerializeToString(deterministic=True))


class Images(CalibrationDataReader):  # type: ignore[misc]
    """A few noisy images, one at a time."""

    def __init__(self) -> None:
        numbers = np.random.default_rng(18)
        images = numbers.normal(0, 1, (SAMPLES, 1, 1, SIZE, SIZE)).astype(np.float32)
        self._images: Iterator[dict[str, Any]] = iter([{"image": image} for image in images])

    def get_next(self) -> dict[str, Any] | None:
        return next(self._images, None)


def static(folder: Path, model: bytes, **options: Any) -> bytes:
    (folder / "float.onnx").write_bytes(model)
    quantize_static(folder / "float.onnx", folder / "codes.onnx", Images(), **options)
    return (folder / "codes.onnx").read_bytes()


def dynamic(folder: Path, model: bytes, **options: Any) -> bytes:
    (folder / "float.onnx").write_bytes(model)
    quantize_dynamic(folder / "float.onnx", folder / "codes.onnx", **options)
    return (folder / "codes.onnx").read_bytes()


def renamed(model: bytes) -> bytes:
    """The same with names that say nothing."""
    proto = ModelProto.FromString(model)
    names = {one.name: f"t{number}" for number, one in enumerate(proto.graph.initializer)}
    for one in proto.graph.initializer:
        one.name = names[one.name]
    for node in proto.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    return bytes(proto.SerializeToString(deterministic=True))


def scene(base: bytes, new: bytes) -> Scene:
    def octets(model: bytes) -> Octets:
        return np.frombuffer(model, np.uint8)

    return Scene.of(octets(base), octets(new), SETTINGS[Effort.MAX])


_UNSIGNED = {"weight_type": QuantType.QUInt8, "activation_type": QuantType.QUInt8}
STATIC = {
    "QDQ per channel": {"per_channel": True, "weight_type": QuantType.QInt8},
    "QDQ per tensor": {"weight_type": QuantType.QInt8},
    "QDQ per channel, reduced": {"per_channel": True, "reduce_range": True, "weight_type": QuantType.QInt8},
    "QDQ unsigned": _UNSIGNED,
    "QDQ symmetric unsigned": {**_UNSIGNED, "extra_options": {"WeightSymmetric": True}},
    "QDQ asymmetric": {"weight_type": QuantType.QInt8, "extra_options": {"WeightSymmetric": False}},
    "QDQ int4": {"weight_type": QuantType.QInt4},
    "QDQ unsigned int4": {"weight_type": QuantType.QUInt4},
    "operators": {"per_channel": True, "quant_format": QuantFormat.QOperator, "weight_type": QuantType.QInt8},
}
DYNAMIC = {
    "signed": {"weight_type": QuantType.QInt8},
    "unsigned": {"weight_type": QuantType.QUInt8},
    "per channel": {"weight_type": QuantType.QInt8, "per_channel": True},
    "reduced": {"weight_type": QuantType.QUInt8, "reduce_range": True},
}


@pytest.mark.parametrize("with_names", [True, False])
@pytest.mark.parametrize("how", list(STATIC))
def test_static_quantisation_is_recomputed(
    tmp_path: Path, round_trip: RoundTrip, how: str, *, with_names: bool
) -> None:
    """Codes, scales, biases and their scales all come from the base; activation scales and the graph are text."""
    new = static(tmp_path, net(), **STATIC[how])
    new = new if with_names else renamed(new)
    seen = scene(net(), new)
    assert_all_codes_exact(seen)
    biases = [tensor for tensor in seen.tensors if tensor.data_type == TensorProto.INT32 and seen.values(tensor).any()]
    assert len(biases) == 3
    assert all(tensor in seen.quantised.biases for tensor in biases)
    for tensor in seen.tensors:
        if tensor.data_type == TensorProto.FLOAT and tensor.size >= 16:
            assert seen.octets(tensor).tobytes() in seen.quantised.by_content
    assert len(round_trip(net(), new)) < 0.13 * len(new)


def test_biases_of_earlier_releases_are_recomputed(tmp_path: Path, round_trip: RoundTrip) -> None:
    """Divided in float32, which shows where codes have more digits than it holds."""
    values = weights()
    values["first.bias"] *= np.float32(3e5)
    proto = ModelProto.FromString(static(tmp_path, net(values), per_channel=True, weight_type=QuantType.QInt8))
    tensors = {one.name: one for one in proto.graph.initializer}
    scales, codes = (numpy_helper.to_array(tensors[f"first.bias_quantized{end}"]) for end in ("_scale", ""))
    earlier = (values["first.bias"] / scales).round().astype(np.int32)
    assert not np.array_equal(earlier, codes)
    tensors["first.bias_quantized"].raw_data = earlier.tobytes()
    new = proto.SerializeToString(deterministic=True)
    assert "first.bias_quantized" in {tensor.name for tensor in scene(net(values), new).quantised.biases}
    assert len(round_trip(net(values), new)) < 0.13 * len(new)


@pytest.mark.parametrize("how", list(DYNAMIC))
def test_dynamic_quantisation_is_recomputed(tmp_path: Path, round_trip: RoundTrip, how: str) -> None:
    new = dynamic(tmp_path, net(), **DYNAMIC[how])
    assert_all_codes_exact(scene(net(), new))
    assert len(round_trip(net(), new)) < 0.08 * len(new)


def assert_all_codes_exact(seen: Scene) -> None:
    kinds = (TensorProto.INT8, TensorProto.UINT8, TensorProto.INT4, TensorProto.UINT4)
    codes = [tensor for tensor in seen.tensors if tensor.data_type in kinds and tensor.size > 100]
    assert codes
    for tensor in codes:
        assert tensor in seen.quantised.codes, tensor.name
        assert not seen.quantised.codes[tensor].corrections.size, tensor.name


def test_weights_in_half_precision_are_widened_and_quantised(tmp_path: Path, round_trip: RoundTrip) -> None:
    half = {name: values.astype(np.float16) for name, values in weights().items()}
    wide = {name: values.astype(np.float32) for name, values in half.items()}
    new = static(tmp_path, net(wide), per_channel=True, weight_type=QuantType.QInt8)
    seen = scene(build(half), new)
    assert_all_codes_exact(seen)
    assert len(seen.quantised.biases) == 3
    assert len(round_trip(build(half), new)) < 0.13 * len(new)


def test_a_scale_that_was_adjusted_for_its_bias_travels_and_the_codes_do_not(
    tmp_path: Path, round_trip: RoundTrip
) -> None:
    """A bias that is large beside its weights makes the quantiser widen the weights' scale."""
    values = weights()
    values["second.weight"][3] *= 1e-9
    new = static(tmp_path, net(values), per_channel=True, weight_type=QuantType.QInt8)
    assert len(round_trip(net(values), new)) < 0.16 * len(new)


def folded(folder: Path, model: bytes) -> bytes:
    """As ONNX Runtime prepares a model before it quantises."""
    (folder / "unfolded.onnx").write_bytes(model)
    quant_pre_process(folder / "unfolded.onnx", folder / "folded.onnx", skip_symbolic_shape=True)
    return (folder / "folded.onnx").read_bytes()


def test_batch_normalisation_that_was_folded_costs_the_graph(tmp_path: Path, round_trip: RoundTrip) -> None:
    new = folded(tmp_path, unfolded())
    assert len(ModelProto.FromString(new).graph.initializer) == 6
    assert len(round_trip(unfolded(), new)) < 0.01 * len(new)


@pytest.mark.parametrize("with_names", [True, False])
def test_batch_normalisation_that_was_folded_before_quantising_costs_the_graph(
    tmp_path: Path, round_trip: RoundTrip, *, with_names: bool
) -> None:
    new = static(tmp_path, folded(tmp_path, unfolded()), per_channel=True, weight_type=QuantType.QInt8)
    new = new if with_names else renamed(new)
    seen = scene(unfolded(), new)
    assert_all_codes_exact(seen)
    assert len(seen.quantised.biases) == 3
    assert len(round_trip(unfolded(), new)) < 0.14 * len(new)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
def test_codes_of_matmulnbits_are_recomputed(round_trip: RoundTrip, bits: int, *, symmetric: bool) -> None:
    """Its kernel quantises; names are those that ONNX Runtime's matmul_nbits_quantizer.py gives."""
    rows, columns, block = 256, 192, 32
    matrix = np.random.default_rng(22).normal(0, 0.1, (rows, columns)).astype(np.float32)
    packed = np.zeros((columns, rows // block, block * bits // 8), np.uint8)
    scales = np.zeros((columns, rows // block), np.float32)
    points = np.zeros((columns, rows // block * bits // 8), np.uint8)
    quantise = quantize_matmul_4bits if bits == 4 else quantize_matmul_8bits
    quantise(packed, matrix, scales, points, block, columns, rows, symmetric)
    tensors: dict[str, NDArray[Any]] = {f"layer_Q{bits}": packed, "layer_scales": scales}
    if not symmetric:
        tensors["layer_zero_points"] = points
    assert len(round_trip(build({"layer": matrix}), build(tensors))) < 500


def to_half(model: bytes) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        half = convert_float_to_float16(ModelProto.FromString(model), keep_io_types=True, disable_shape_infer=True)
    return bytes(half.SerializeToString())


@pytest.mark.parametrize("effort", list(Effort))
def test_half_precision_costs_the_graph(round_trip: RoundTrip, effort: Effort) -> None:
    """Weights below the least number of half precision among them, which the converter clips."""
    values = weights()
    values["last.weight"][:, ::7] *= 1e-9
    new = to_half(net(values))
    assert len(round_trip(net(values), new, effort)) < 0.04 * len(new)


@pytest.mark.parametrize("effort", list(Effort))
def test_half_precision_back_to_single_costs_the_graph(round_trip: RoundTrip, effort: Effort) -> None:
    half = {name: values.astype(np.float16) for name, values in weights().items()}
    new = net({name: values.astype(np.float32) for name, values in half.items()})
    assert len(round_trip(build(half), new, effort)) < 0.02 * len(new)


def test_single_precision_from_its_half_costs_the_lost_bits(round_trip: RoundTrip) -> None:
    half = {name: values.astype(np.float16) for name, values in weights().items()}
    assert len(round_trip(build(half), net())) < 0.45 * len(net())


def test_half_precision_of_a_fine_tune_costs_the_change(round_trip: RoundTrip) -> None:
    """The device holds the old weights in single precision; the new ones come in half."""
    numbers = np.random.default_rng(19)
    moved = {name: values + numbers.normal(0, 1e-4, values.shape) for name, values in weights().items()}
    new = build({name: values.astype(np.float16) for name, values in moved.items()})
    assert len(round_trip(net(), new)) < 0.3 * len(new)
    assert len(round_trip(None, new)) > 0.8 * len(new)


@pytest.mark.parametrize("dropped", [True, False])
def test_bfloat16_costs_the_graph(round_trip: RoundTrip, *, dropped: bool) -> None:
    """Rounded, or with the lower half dropped."""
    protos = []
    for name, values in weights().items():
        patterns = (values.view("<u4") + np.uint32(0 if dropped else 0x7FFF + 1)) >> np.uint32(16)
        raw = patterns.astype("<u2").tobytes()
        protos.append(helper.make_tensor(f"{name}.bf16", TensorProto.BFLOAT16, values.shape, raw, raw=True))
    graph = helper.make_graph([], "net", [], [], protos)
    new = helper.make_model(graph).SerializeToString(deterministic=True)
    assert len(round_trip(net(), bytes(new))) < 0.02 * len(new)


def test_transposed_weights_are_converted_and_quantised(tmp_path: Path, round_trip: RoundTrip) -> None:
    """As a fully connected layer is where a tool turned it into a product of matrices."""
    numbers = np.random.default_rng(20)
    matrix = numbers.normal(0, 0.1, (160, 96)).astype(np.float32)
    turned = np.ascontiguousarray(matrix.T)
    scale = np.float32(np.float64(2 * np.abs(matrix).max()) / 254)
    codes = np.clip(np.rint(turned / scale), -128, 127).astype(np.int8)
    assert len(round_trip(build({"w": matrix}), build({"w": turned.astype(np.float16)}))) < 450
    assert len(round_trip(build({"w": matrix}), build({"v": codes, "s": scale.reshape(1)}))) < 450
