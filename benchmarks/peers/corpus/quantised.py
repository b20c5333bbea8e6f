"""Pairs in which precision changes: int8 by ONNX Runtime's quantiser, fp16 by its converter, bfloat16 as stored weights."""

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.peers.corpus.checkpoints import checkpoint
from benchmarks.peers.corpus.recipe import Recipe
from benchmarks.peers.corpus.wheels import WheelMember
from benchmarks.peers.pairs import Made, PairClass

_CALIBRATION_IMAGES = 512
# Which images calibrate: those that the version was trained on came first.
_CALIBRATION_FROM = {"first": 0, "hard": 3000}
_SILERO_16K = WheelMember("silero-vad", "6.2.3", "silero_vad/data/silero_vad_16k_op15.onnx")


def static_int8(source: Path, images_from: int, *, per_channel: bool = True, qdq: bool = True, **types: Any) -> bytes:
    """`source` with int8 weights and uint8 activations, calibrated on 512 images."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    from compression.datasets.mnist import mnist_halved
    from compression.quantisation.static import SampleReader

    images = mnist_halved().take(slice(images_from, images_from + _CALIBRATION_IMAGES))
    with tempfile.TemporaryDirectory() as folder:
        prepared, target = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            target,
            SampleReader(images, batch=64),
            quant_format=QuantFormat.QDQ if qdq else QuantFormat.QOperator,
            per_channel=per_channel,
            activation_type=QuantType.QUInt8,
            weight_type=types.get("weight_type", QuantType.QInt8),
        )
        return target.read_bytes()


def dynamic_int8(source: Path, *, signed: bool = True, per_channel: bool = False) -> bytes:
    """`source` with int8 or uint8 weights in integer operators that quantise activations as they come."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "int8.onnx"
        quantize_dynamic(
            source, target, per_channel=per_channel, weight_type=QuantType.QInt8 if signed else QuantType.QUInt8
        )
        return target.read_bytes()


def to_fp16(model: bytes) -> bytes:
    """`model` in half precision by ONNX Runtime's converter, inputs and outputs as they were."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with warnings.catch_warnings():
        # It says which weights it moves into the range of fp16.
        warnings.simplefilter("ignore", UserWarning)
        half = convert_float_to_float16(onnx.load_from_string(model), keep_io_types=True, disable_shape_infer=True)
    return bytes(half.SerializeToString())


def to_bfloat16(model: bytes) -> bytes:
    """`model` with its float weights stored as bfloat16 and cast back when it runs."""
    proto = onnx.load_from_string(model)
    casts = []
    for tensor in proto.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        bits = numpy_helper.to_array(tensor).view(np.uint32).astype(np.uint64)
        # Round to nearest, ties to even, on the bit pattern; trained weights are finite.
        rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
        name, dims = tensor.name, list(tensor.dims)
        tensor.Clear()
        tensor.name, tensor.data_type, tensor.raw_data = (
            f"{name}.bf16",
            TensorProto.BFLOAT16,
            rounded.astype("<u2").tobytes(),
        )
        tensor.dims.extend(dims)
        casts.append(helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    onnx.checker.check_model(proto)
    return bytes(proto.SerializeToString())


Convert = Callable[[Path, str], bytes]


def _static(**options: Any) -> Convert:
    return lambda source, stage: static_int8(source, _CALIBRATION_FROM[stage], **options)


def _re_quantised(net: str) -> Recipe:
    def make(workshop: Path) -> Made:
        old, new = (
            static_int8(checkpoint(workshop, net, stage, deployed=True), _CALIBRATION_FROM[stage])
            for stage in ("first", "hard")
        )
        return Made(new=new, base=old)

    how = f"{net}, fine-tuned with Adam at 5e-4, both quantised: static QDQ, per channel, each calibrated on its own images"
    return Recipe(PairClass.INT8_FINE_TUNED, net, how, make)


def _converted(
    pair_class: PairClass,
    name: str,
    net: str,
    how: str,
    convert: Convert,
    *,
    stage: str = "first",
    deployed: bool = True,
) -> Recipe:
    def make(workshop: Path) -> Made:
        source = checkpoint(workshop, net, stage, deployed=deployed)
        return Made(new=convert(source, stage), base=source.read_bytes())

    return Recipe(pair_class, name, f"{net}, {how}", make)


def _int8(name: str, net: str, how: str, convert: Convert, **options: Any) -> Recipe:
    return _converted(PairClass.TO_INT8, name, net, f"to int8: {how}", convert, **options)


def _half(workshop: Path) -> Made:
    model = _SILERO_16K.read(workshop)
    return Made(new=to_fp16(model), base=model)


def _widened(net: str) -> Recipe:
    def make(workshop: Path) -> Made:
        half = onnx.load_from_string(to_fp16(checkpoint(workshop, net, "first", deployed=True).read_bytes()))
        wide = onnx.load(checkpoint(workshop, net, "first", deployed=True))
        values = {tensor.name: numpy_helper.to_array(tensor) for tensor in half.graph.initializer}
        for tensor in wide.graph.initializer:
            if tensor.data_type == TensorProto.FLOAT:
                tensor.raw_data = values[tensor.name].astype("<f4").tobytes()
        return Made(new=bytes(wide.SerializeToString()), base=bytes(half.SerializeToString()))

    return Recipe(PairClass.OTHER, f"fp16-to-fp32-{net}", f"{net} in fp16, its values back in fp32", make)


def _fp16(net: str) -> Recipe:
    return _converted(
        PairClass.TO_FP16, net, net, "to fp16 by ONNX Runtime's converter", lambda path, _: to_fp16(path.read_bytes())
    )


def _bfloat16(net: str) -> Recipe:
    return _converted(
        PairClass.OTHER, f"bf16-{net}", net, "weights to bfloat16", lambda path, _: to_bfloat16(path.read_bytes())
    )


RECIPES = [
    *(_re_quantised(net) for net in ("squeezenet", "convnet", "mobilenet", "perceptron")),
    _int8("static-squeezenet", "squeezenet", "static QDQ, per channel", _static()),
    _int8("static-convnet", "convnet", "static QDQ, per channel", _static()),
    _int8("static-perceptron", "perceptron", "static QDQ, per channel", _static(), stage="hard"),
    _int8("per-tensor-convnet", "convnet", "static QDQ, per tensor", _static(per_channel=False)),
    _int8("per-tensor-mobilenet", "mobilenet", "static QDQ, per tensor", _static(per_channel=False)),
    _int8("qoperator-convnet", "convnet", "static QOperator, per channel", _static(qdq=False)),
    _int8("dynamic-perceptron", "perceptron", "dynamic, per tensor", lambda path, _: dynamic_int8(path)),
    _int8(
        "dynamic-unsigned-perceptron",
        "perceptron",
        "dynamic, per tensor, unsigned",
        lambda path, _: dynamic_int8(path, signed=False),
    ),
    _int8("dynamic-recurrent", "recurrent", "dynamic, per tensor", lambda path, _: dynamic_int8(path)),
    *(_fp16(net) for net in ("squeezenet", "convnet", "mobilenet", "recurrent", "perceptron")),
    Recipe(PairClass.TO_FP16, "silero-16k", f"{_SILERO_16K}, to fp16 by ONNX Runtime's converter", _half),
    *(_bfloat16(net) for net in ("squeezenet", "perceptron")),
    *(_widened(net) for net in ("squeezenet", "perceptron")),
    _converted(
        PairClass.OTHER,
        "unfolded-to-int8-squeezenet",
        "squeezenet",
        "with its batch normalisation, to int8 with it folded",
        _static(),
        deployed=False,
    ),
]
