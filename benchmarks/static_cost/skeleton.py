"""A copy of a model without the payload of its large tensors: what shape inference needs, and no more.

So that shapes can be inferred as far as possible, open input dimensions are bound, what exporters compute from shapes is
folded (`folding`), and inference runs on a twin in which contrib operators that it does not know are replaced by standard
ones with the same output shape.
"""

from collections.abc import Mapping, Sequence

import onnx
import onnx.inliner
import onnx.shape_inference
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

from benchmarks.static_cost.folding import fold
from benchmarks.static_cost.graphs import KEPT_ELEMENTS, subgraphs

_MAX_ROUNDS = 8

# Contrib operators whose first output has the shape of their first input.
_SAME_SHAPE = frozenset(
    {"BiasGelu", "FastGelu", "Gelu", "QLinearLeakyRelu", "QLinearSigmoid", "QuickGelu", "SkipLayerNormalization"}
)
# Contrib binary operators: positions of the two tensors that broadcast.
_BROADCAST = {"QLinearAdd": (0, 3), "QLinearMul": (0, 3)}


def skeleton_of(model: ModelProto, bindings: Mapping[str, Sequence[int]]) -> ModelProto:
    """The skeleton of `model`, local functions inlined, its inputs bound to the shapes in `bindings`."""
    bare = ModelProto(ir_version=model.ir_version)
    bare.opset_import.extend(model.opset_import)
    for function in model.functions:
        copied = bare.functions.add()
        copied.CopyFrom(function)
        del copied.node[:]
        copied.node.extend(_bare_node(node) for node in function.node)
    bare.graph.CopyFrom(_bare_graph(model.graph))
    for value in bare.graph.input:
        if value.name in bindings:
            _bind(value, bindings[value.name])
    if bare.functions:
        bare = onnx.inliner.inline_local_functions(bare)
    return bare


def _bare_graph(graph: GraphProto) -> GraphProto:
    """Declared shapes inside the graph and of its outputs are left out: they are inferred again from bound inputs."""
    bare = GraphProto(name=graph.name)
    bare.input.extend(graph.input)
    for value in graph.output:
        output = bare.output.add()
        output.CopyFrom(value)
        if output.type.HasField("tensor_type"):
            output.type.tensor_type.ClearField("shape")
    bare.initializer.extend(_bare_tensor(tensor) for tensor in graph.initializer)
    for sparse in graph.sparse_initializer:
        bare.initializer.append(
            TensorProto(name=sparse.values.name, data_type=sparse.values.data_type, dims=list(sparse.dims))
        )
    bare.node.extend(_bare_node(node) for node in graph.node)
    return bare


def _bare_node(node: NodeProto) -> NodeProto:
    bare = NodeProto(name=node.name, op_type=node.op_type, domain=node.domain)
    bare.input.extend(node.input)
    bare.output.extend(node.output)
    bare.attribute.extend(_bare_attribute(attribute) for attribute in node.attribute)
    return bare


def _bare_attribute(attribute: AttributeProto) -> AttributeProto:
    if attribute.type == AttributeProto.TENSOR:
        return AttributeProto(name=attribute.name, type=attribute.type, t=_bare_tensor(attribute.t))
    if attribute.type == AttributeProto.GRAPH:
        return AttributeProto(name=attribute.name, type=attribute.type, g=_bare_graph(attribute.g))
    copied = AttributeProto()
    copied.CopyFrom(attribute)
    return copied


def _bare_tensor(tensor: TensorProto) -> TensorProto:
    elements = 1
    for dim in tensor.dims:
        elements *= dim
    external = tensor.data_location == TensorProto.EXTERNAL
    if elements <= KEPT_ELEMENTS and not external:
        copied = TensorProto()
        copied.CopyFrom(tensor)
        return copied
    return TensorProto(name=tensor.name, data_type=tensor.data_type, dims=list(tensor.dims))


def _bind(value: ValueInfoProto, shape: Sequence[int]) -> None:
    dims = value.type.tensor_type.shape.dim
    del dims[:]
    for size in shape:
        dims.add(dim_value=size)


def infer_shapes(bare: ModelProto) -> None:
    """Fill `value_info` of every graph of the skeleton, subgraphs included, with what can be inferred.

    What the shapes found so far decide is folded, and inference goes on behind it, a few rounds at most.

    Raises:
        onnx.shape_inference.InferenceError: the graph contradicts itself.
    """
    _infer_once(bare)
    for _ in range(_MAX_ROUNDS):
        if not fold(bare):
            return
        _infer_once(bare)


def _infer_once(bare: ModelProto) -> None:
    twin = ModelProto()
    twin.CopyFrom(bare)
    _replace_contrib(twin.graph)
    inferred = onnx.shape_inference.infer_shapes(twin, data_prop=True)
    _copy_value_info(inferred.graph, bare.graph)


def _copy_value_info(source: GraphProto, target: GraphProto) -> None:
    del target.value_info[:]
    target.value_info.extend(source.value_info)
    target.value_info.extend(source.output)
    for known, node in zip(source.node, target.node, strict=True):
        for inner, graph in zip(subgraphs(known), subgraphs(node), strict=True):
            _copy_value_info(inner, graph)


def _replace_contrib(graph: GraphProto) -> None:
    for node in graph.node:
        inner = subgraphs(node)
        for subgraph in inner:
            _replace_contrib(subgraph)
        twin = _standard_twin(node, graph) if node.domain == "com.microsoft" and not inner else None
        if twin is not None:
            node.CopyFrom(twin)


def _standard_twin(node: NodeProto, graph: GraphProto) -> NodeProto | None:
    if node.op_type in _SAME_SHAPE:
        return onnx.helper.make_node("Identity", node.input[:1], node.output[:1])
    if node.op_type in _BROADCAST:
        first, second = _BROADCAST[node.op_type]
        return onnx.helper.make_node("Add", [node.input[first], node.input[second]], node.output[:1])
    if node.op_type == "MatMulNBits":
        size = {attribute.name: attribute.i for attribute in node.attribute}
        stand_in = f"{node.output[0]}/unpacked"
        graph.initializer.append(
            TensorProto(name=stand_in, data_type=TensorProto.FLOAT, dims=[size.get("K", 0), size.get("N", 0)])
        )
        return onnx.helper.make_node("MatMul", [node.input[0], stand_in], node.output[:1])
    return None
