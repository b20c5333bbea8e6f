"""Batch normalisation folded into the layer before it, from ONNX file to ONNX file: fewer nodes, the same answers. No torch.

As torch's `fuse_conv_bn_eval`: with s = scale / sqrt(variance + epsilon), the weights of output channel c are multiplied with s[c] and its
bias becomes (bias - mean) * s + shift, computed in float64. It comes after pruning and before weights are shared: a zero stays a zero, a
shared value does not stay shared.
"""

from collections import Counter

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

_OUT_AXES = {"Conv": 0, "ConvTranspose": 1}
_EPSILON = 1e-5  # ONNX's default


def fold_normalisation(model: ModelProto) -> tuple[ModelProto, int]:
    """A copy of `model` with what can be folded folded, and how many normalisations that were.

    Folded is a BatchNormalization in inference mode behind a Conv, ConvTranspose (of one group) or Gemm whose output nobody else reads and
    whose weights, all float32 initializers, no other node uses. Others stay.
    """
    folded = ModelProto()
    folded.CopyFrom(model)
    graph = folded.graph
    count = 0
    while pair := _next_pair(graph):
        _fold(graph, *pair)
        count += 1
    _drop_unused(graph, model)
    return folded, count


def _next_pair(graph: GraphProto) -> tuple[NodeProto, NodeProto] | None:
    makers = {name: node for node in graph.node for name in node.output}
    uses = Counter(name for node in graph.node for name in node.input) + Counter(value.name for value in graph.output)
    floats = {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}
    for norm in graph.node:
        layer = makers.get(norm.input[0]) if norm.op_type == "BatchNormalization" else None
        if layer is None or len([name for name in norm.output if name]) > 1 or _integer(norm, "training_mode", 0):
            continue
        constants = [*layer.input[1:], *norm.input[1:]]
        if (
            _is_foldable(layer)
            and uses[norm.input[0]] == 1
            and floats.issuperset(constants)
            and (max(uses[name] for name in layer.input[1:]) == 1)
        ):
            return layer, norm
    return None


def _is_foldable(layer: NodeProto) -> bool:
    if layer.op_type == "Gemm":
        plain = {"alpha": 1.0, "beta": 1.0}
        return all(attribute.f == plain[attribute.name] for attribute in layer.attribute if attribute.name in plain)
    return layer.op_type == "Conv" or (layer.op_type == "ConvTranspose" and _integer(layer, "group", 1) == 1)


def _fold(graph: GraphProto, layer: NodeProto, norm: NodeProto) -> None:
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    scale, shift, mean, variance = (_array(tensors[name]) for name in norm.input[1:])
    epsilon = next((attribute.f for attribute in norm.attribute if attribute.name == "epsilon"), _EPSILON)
    factors = scale / np.sqrt(variance + epsilon)
    weight = tensors[layer.input[1]]
    axis = _OUT_AXES.get(layer.op_type, 0 if _integer(layer, "transB", 0) else 1)
    array = _array(weight)
    by_channel = factors.reshape([-1 if place == axis else 1 for place in range(array.ndim)])
    _store(weight, array * by_channel)
    has_bias = len(layer.input) > 2 and layer.input[2]
    bias = (_array(tensors[layer.input[2]]) if has_bias else 0.0) - mean
    if has_bias:
        _store(tensors[layer.input[2]], bias * factors + shift)
    else:
        # The normalisation's shift is nobody else's any more; it becomes the layer's bias, in its place among the initializers.
        name = norm.input[2]
        if Counter(used for node in graph.node for used in node.input)[name] > 1:
            name = f"{layer.input[1]}.bias"
            graph.initializer.append(numpy_helper.from_array(np.zeros(scale.shape, np.float32), name))
        target = next(tensor for tensor in graph.initializer if tensor.name == name)
        _store(target, bias * factors + shift)
        del layer.input[2:]
        layer.input.append(name)
    layer.output[0] = norm.output[0]
    graph.node.remove(norm)


def _array(tensor: TensorProto) -> NDArray[np.float64]:
    return numpy_helper.to_array(tensor).astype(np.float64)


def _store(tensor: TensorProto, array: NDArray[np.float64]) -> None:
    tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float32).reshape(tuple(tensor.dims)), tensor.name))


def _integer(node: NodeProto, name: str, default: int) -> int:
    return next((int(helper.get_attribute_value(own)) for own in node.attribute if own.name == name), default)


def _drop_unused(graph: GraphProto, before: ModelProto) -> None:
    """Initializers and shapes that only the folded nodes had."""
    read_before = {name for node in before.graph.node for name in node.input}
    read = {name for node in graph.node for name in node.input}
    gone = {name for name in read_before - read if name not in {value.name for value in graph.output}}
    for values in (graph.initializer, graph.input, graph.value_info):
        for value in [value for value in values if value.name in gone]:
            values.remove(value)
