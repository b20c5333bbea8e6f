"""Evaluating what exporters compute from shapes, so that shape inference can go on behind it.

PyTorch writes padding as ConstantOfShape, Concat, Reshape, Slice, Transpose, Cast and Pad, and "squeeze if this axis is 1" as
Shape, Gather, Equal and If. Shape inference gives up at both. Here nodes whose inputs are small and known become
Constants, and an If whose condition is known becomes the branch that is taken. Done on the skeleton, never on the model.
"""

import math
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from benchmarks.static_cost.graphs import KEPT_ELEMENTS, constant_of, subgraphs
from benchmarks.static_cost.scope import Scope

_FOLDABLE = frozenset(
    """
    Add And Cast Ceil Concat ConstantOfShape Div Equal Floor Gather Greater GreaterOrEqual Identity Less LessOrEqual Max Min
    Mod Mul Neg Not Or ReduceProd Reshape Size Slice Squeeze Sub Transpose Unsqueeze Where
    """.split()  # noqa: SIM905  a list of names reads better without quotes
)
# What evaluating a node of a broken model can raise; such a node is left as it is.
_EVALUATION_ERRORS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)

_Array = np.ndarray[tuple[int, ...], np.dtype[np.generic]]


def fold(model: ModelProto) -> bool:
    """Fold every graph as far as the shapes inferred by now allow; whether anything changed."""
    opsets = list(model.opset_import)
    return _fold(Scope(model.graph), {}, opsets)


def _fold(scope: Scope, outer: Mapping[str, _Array], opsets: list[onnx.OperatorSetIdProto]) -> bool:
    graph = scope.graph
    known = dict(outer)
    known.update({tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer if _is_small(tensor)})
    changed = False
    nodes: list[NodeProto] = []
    for node in graph.node:
        for subgraph in subgraphs(node):
            changed |= _fold(Scope(subgraph, scope), known, opsets)
        value = _value(node, known, scope, opsets)
        taken = _taken_branch(node, known)
        if value is not None:
            known[node.output[0]] = value
            changed |= node.op_type != "Constant"
            nodes.append(helper.make_node("Constant", [], node.output[:1], value=numpy_helper.from_array(value)))
        elif taken is not None:
            changed = True
            graph.initializer.extend(taken.initializer)
            nodes.extend(taken.node)
            results = zip(taken.output, node.output, strict=False)
            nodes.extend(helper.make_node("Identity", [inner.name], [name]) for inner, name in results)
        else:
            nodes.append(node)
    if changed:
        kept = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(kept)
    return changed


def _is_small(tensor: TensorProto) -> bool:
    """Whether its payload was kept; see `skeleton`."""
    return math.prod(tensor.dims) <= KEPT_ELEMENTS and tensor.data_location != TensorProto.EXTERNAL


def _taken_branch(node: NodeProto, known: Mapping[str, _Array]) -> GraphProto | None:
    condition = known.get(node.input[0]) if node.op_type == "If" and node.input else None
    if condition is None or condition.size != 1:
        return None
    wanted = "then_branch" if bool(condition.reshape(())) else "else_branch"
    return next((attribute.g for attribute in node.attribute if attribute.name == wanted), None)


def _value(
    node: NodeProto, known: Mapping[str, _Array], scope: Scope, opsets: list[onnx.OperatorSetIdProto]
) -> _Array | None:
    """The node's output, where it is small and can be known."""
    if node.domain not in {"", "ai.onnx"}:
        return None
    if node.op_type == "Constant":
        constant = constant_of(node)
        return numpy_helper.to_array(constant) if constant is not None and _is_small(constant) else None
    if node.op_type == "Shape":
        return _shape(node, scope)
    if node.op_type not in _FOLDABLE or not all(name in known for name in node.input if name):
        return None
    if (
        node.op_type == "ConstantOfShape"
        and math.prod(int(dim) for dim in known[node.input[0]].ravel()) > KEPT_ELEMENTS
    ):
        return None
    feeds = {name: known[name] for name in node.input if name}
    if (
        math.prod(max(1, array.size) for array in feeds.values()) > KEPT_ELEMENTS**2
    ):  # what broadcasting could make of it
        return None
    try:
        value = _evaluate(node, feeds, opsets)
    except _EVALUATION_ERRORS:
        return None
    return value if value.size <= KEPT_ELEMENTS else None


def _shape(node: NodeProto, scope: Scope) -> _Array | None:
    dims = scope.dims(node.input[0])
    bounds = {attribute.name: attribute.i for attribute in node.attribute}
    return None if dims is None else np.array(dims[bounds.get("start", 0) : bounds.get("end")], np.int64)


def _evaluate(node: NodeProto, feeds: Mapping[str, _Array], opsets: list[onnx.OperatorSetIdProto]) -> _Array:
    from onnx.reference import ReferenceEvaluator  # 20 MiB, and many models need none of it

    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in feeds.items()
    ]
    graph = helper.make_graph([node], "one", inputs, [onnx.ValueInfoProto(name=node.output[0])])
    results = ReferenceEvaluator(helper.make_model(graph, opset_imports=opsets)).run(None, dict(feeds))
    return np.asarray(next(iter(results)))
