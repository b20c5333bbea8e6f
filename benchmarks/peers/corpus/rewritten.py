"""Pairs in which the weights stay and what is around them changes: graph, names, order, layout, container."""

import json
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from benchmarks.peers.corpus.checkpoints import checkpoint
from benchmarks.peers.corpus.quantised import static_int8
from benchmarks.peers.corpus.recipe import Recipe
from benchmarks.peers.pairs import Made, PairClass

Rewrite = Callable[[ModelProto], ModelProto]


def optimised(level: str) -> Rewrite:
    """The graph that ONNX Runtime saves after optimising at `level`: BASIC, EXTENDED, or ALL with its blocked layouts."""

    def rewrite(model: ModelProto) -> ModelProto:
        import onnxruntime

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "optimised.onnx"
            options = onnxruntime.SessionOptions()
            options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_ENABLE_{level}")
            options.optimized_model_filepath = str(path)
            # At ALL it warns that the layouts fit this processor only, which is what is wanted here.
            options.log_severity_level = 3
            onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
            return onnx.load(path)

    return rewrite


def renamed(model: ModelProto) -> ModelProto:
    """Every initializer, node and value with a new name, as another exporter gives them."""
    graph = model.graph
    kept = {value.name for value in [*graph.input, *graph.output]}
    names: dict[str, str] = {}

    def new_name(name: str) -> str:
        return name if not name or name in kept else names.setdefault(name, f"onnx::value_{len(names) + 100}")

    for tensor in graph.initializer:
        tensor.name = new_name(tensor.name)
    for index, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{index}"
        node.input[:] = [new_name(name) for name in node.input]
        node.output[:] = [new_name(name) for name in node.output]
    del graph.value_info[:]
    return model


def reordered(model: ModelProto) -> ModelProto:
    """Initializers in another order."""
    tensors = list(model.graph.initializer)
    order = np.random.default_rng(5).permutation(len(tensors))
    del model.graph.initializer[:]
    model.graph.initializer.extend(tensors[index] for index in order)
    return model


def transposed(model: ModelProto) -> ModelProto:
    """Weights of `Gemm` in the other orientation, with transB the other way round."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Gemm" and node.input[1] in tensors:
            flag = next((attribute for attribute in node.attribute if attribute.name == "transB"), None)
            if flag is None:
                node.attribute.append(helper.make_attribute("transB", 1))
            else:
                flag.i = 1 - flag.i
            _replace(tensors[node.input[1]], lambda weights: weights.T)
    return model


def as_matmul(model: ModelProto) -> ModelProto:
    """`Gemm` with transposed weights becomes `MatMul` and `Add`, as other exporters write a dense layer."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        if node.op_type != "Gemm":
            nodes.append(node)
            continue
        features, weights, bias = node.input
        if any(attribute.name == "transB" and attribute.i for attribute in node.attribute):
            _replace(tensors[weights], lambda array: array.T)
        product = f"{node.output[0]}/product"
        nodes.append(helper.make_node("MatMul", [features, weights], [product], name=f"{node.name}/MatMul"))
        nodes.append(helper.make_node("Add", [product, bias], [node.output[0]], name=f"{node.name}/Add"))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def channels_last(model: ModelProto) -> ModelProto:
    """Convolution weights stored as [out, h, w, in], transposed back by a node, as converters from TensorFlow write them."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        if node.op_type == "Conv" and node.input[1] in tensors:
            name = node.input[1]
            _replace(tensors[name], lambda weights: weights.transpose(0, 2, 3, 1))
            nodes.append(helper.make_node("Transpose", [name], [f"{name}/nchw"], perm=[0, 3, 1, 2]))
            node.input[1] = f"{name}/nchw"
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def opset(version: int) -> Rewrite:
    """The model in another opset, by ONNX's own converter."""

    def rewrite(model: ModelProto) -> ModelProto:
        from onnx import version_converter

        return version_converter.convert_version(model, version)

    return rewrite


def typed_fields(model: ModelProto) -> ModelProto:
    """Values in `float_data`, `int32_data` and `int64_data` instead of `raw_data`; small integers become varints."""
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        tensor.ClearField("raw_data")
        if tensor.data_type == TensorProto.FLOAT:
            tensor.float_data.extend(array.ravel().tolist())
        elif tensor.data_type == TensorProto.INT64:
            tensor.int64_data.extend(array.ravel().tolist())
        else:
            tensor.int32_data.extend(array.ravel().astype(np.int32).tolist())
    return model


def constants(model: ModelProto) -> ModelProto:
    """Initializers as `Constant` nodes, as PaddlePaddle's exporter writes them."""
    nodes = [
        helper.make_node("Constant", [], [tensor.name], name=f"Constant/{tensor.name}", value=tensor)
        for tensor in model.graph.initializer
    ]
    nodes.extend(model.graph.node)
    for field in (model.graph.initializer, model.graph.node):
        del field[:]
    model.graph.node.extend(nodes)
    return model


def merged(model: ModelProto) -> ModelProto:
    """All dense and convolution weights of one size in one initializer, taken apart again by `Split` and `Reshape`."""
    small = 1024
    tensors = [t for t in model.graph.initializer if t.data_type == TensorProto.FLOAT and np.prod(t.dims) > small]
    arrays = [numpy_helper.to_array(tensor) for tensor in tensors]
    sizes = [array.size for array in arrays]
    parts = [f"{tensor.name}/flat" for tensor in tensors]
    others = [tensor for tensor in model.graph.initializer if tensor not in tensors]
    shapes = [
        numpy_helper.from_array(np.array(array.shape, np.int64), f"{tensor.name}/shape")
        for tensor, array in zip(tensors, arrays, strict=True)
    ]
    nodes = [helper.make_node("Split", ["weights", "sizes"], parts, axis=0)]
    nodes += [
        helper.make_node("Reshape", [part, shape.name], [tensor.name])
        for part, shape, tensor in zip(parts, shapes, tensors, strict=True)
    ]
    nodes += list(model.graph.node)
    flat = numpy_helper.from_array(np.concatenate([array.ravel() for array in arrays]), "weights")
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(
        [*others, flat, numpy_helper.from_array(np.array(sizes, np.int64), "sizes"), *shapes]
    )
    model.graph.node.extend(nodes)
    return model


def safetensors(arrays: dict[str, NDArray[np.float32]]) -> bytes:
    """A safetensors file: length of the header, header in JSON, values (huggingface/safetensors, README, "Format")."""
    header, position = {}, 0
    for name, array in arrays.items():
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [position, position + array.nbytes]}
        position += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(array.astype("<f4").tobytes() for array in arrays.values())


def _state_of_recurrent(workshop: Path) -> Made:
    """ONNX orders an LSTM's gates i, o, f, c and a GRU's z, r, h; torch i, f, g, o and r, z, n."""
    import torch

    model = checkpoint(workshop, "recurrent", "first")
    state = torch.load(model.with_suffix(".pt"), weights_only=True)
    return Made(
        new=safetensors({name: state[name].numpy() for name in sorted(state)}),
        base=model.read_bytes(),
        suffix=".safetensors",
    )


def _replace(tensor: TensorProto, change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> None:
    changed = np.ascontiguousarray(change(numpy_helper.to_array(tensor)))
    tensor.CopyFrom(numpy_helper.from_array(changed, tensor.name))


def _checked(model: ModelProto) -> bytes:
    """The model's bytes, after the checker, unless ONNX Runtime's own operators are in it."""
    if all(entry.domain in ("", "ai.onnx") for entry in model.opset_import):
        onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _recipe(name: str, net: str, how: str, rewrite: Rewrite) -> Recipe:
    def make(workshop: Path) -> Made:
        base = checkpoint(workshop, net, "first", deployed=True).read_bytes()
        return Made(new=_checked(rewrite(onnx.load_from_string(base))), base=base)

    return Recipe(PairClass.SAME_WEIGHTS, f"{name}-{net}", f"{net}, {how}", make)


def _int8_fields(workshop: Path) -> Made:
    base = static_int8(checkpoint(workshop, "convnet", "first", deployed=True), 0)
    return Made(new=_checked(typed_fields(onnx.load_from_string(base))), base=base)


RECIPES = [
    _recipe("optimised-basic", "convnet", "optimised by ONNX Runtime, basic", optimised("BASIC")),
    _recipe("optimised-extended", "squeezenet", "optimised by ONNX Runtime, extended", optimised("EXTENDED")),
    _recipe("optimised-extended", "recurrent", "optimised by ONNX Runtime, extended", optimised("EXTENDED")),
    _recipe("optimised-all", "mobilenet", "optimised by ONNX Runtime, all, with blocked layouts", optimised("ALL")),
    _recipe("optimised-all", "convnet", "optimised by ONNX Runtime, all, with blocked layouts", optimised("ALL")),
    _recipe("renamed", "squeezenet", "every name another", renamed),
    _recipe("renamed", "perceptron", "every name another", renamed),
    _recipe("reordered", "squeezenet", "initializers in another order", reordered),
    _recipe("reordered-renamed", "mobilenet", "in another order with other names", lambda m: reordered(renamed(m))),
    _recipe("transposed", "perceptron", "Gemm weights transposed", transposed),
    _recipe("transposed", "convnet", "Gemm weights transposed", transposed),
    _recipe("matmul", "perceptron", "Gemm as MatMul and Add", as_matmul),
    _recipe("channels-last", "squeezenet", "convolution weights stored channels last", channels_last),
    _recipe("merged", "squeezenet", "large weights in one initializer", merged),
    _recipe("opset-18", "squeezenet", "converted from opset 17 to 18", opset(18)),
    _recipe("opset-21", "perceptron", "converted from opset 17 to 21", opset(21)),
    _recipe("opset-21", "recurrent", "converted from opset 17 to 21", opset(21)),
    _recipe("typed-fields", "squeezenet", "raw_data as float_data", typed_fields),
    Recipe(
        PairClass.SAME_WEIGHTS, "typed-fields-convnet-int8", "convnet in int8, raw_data as int32_data", _int8_fields
    ),
    _recipe("constants", "convnet", "initializers as Constant nodes", constants),
    Recipe(
        PairClass.SAME_WEIGHTS,
        "safetensors-recurrent",
        "recurrent, ONNX to torch's state in safetensors: gates in another order",
        _state_of_recurrent,
    ),
]
