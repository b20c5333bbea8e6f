"""Multiply-accumulates per operator, keyed "act x weight" by dtype as in QONNX's inference cost.

Elementwise operators, normalisations and data movement count as free, as there. An operator that multiplies and has no
rule here, or whose shapes are not known, is listed as uncounted: a total that hides something is worse than none.
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from onnx import GraphProto, NodeProto

from benchmarks.static_cost.graphs import subgraphs
from benchmarks.static_cost.scope import Scope

TIMES = "\u00d7"

# Operators without multiply-accumulates worth counting: elementwise, movement, pooling, reduction, normalisation.
FREE = frozenset(
    """
    Abs Acos Acosh Add AffineGrid And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization Bernoulli BitShift
    BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil Celu CenterCropPad Clip Compress Concat ConcatFromSequence
    Constant ConstantOfShape Cos Cosh CumSum DepthToSpace DequantizeLinear Div Dropout DynamicQuantizeLinear Elu Equal Erf
    Exp Expand EyeLike Flatten Floor Gather GatherElements GatherND Gelu GlobalAveragePool GlobalLpPool GlobalMaxPool Greater
    GreaterOrEqual GroupNormalization HardSigmoid HardSwish Hardmax Identity InstanceNormalization IsInf IsNaN LRN
    LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization LpPool Max MaxPool MaxUnpool Mean
    MeanVarianceNormalization Min Mish Mod Mul Multinomial Neg NonMaxSuppression NonZero Not OneHot Optional
    OptionalGetElement OptionalHasElement Or PRelu Pad Pow QuantizeLinear RMSNormalization RandomNormal RandomNormalLike
    RandomUniform RandomUniformLike Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean
    ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence Round ScatterElements ScatterND Selu
    SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength Shape Shrink Sigmoid Sign Sin Sinh
    Size Slice Softmax Softplus Softsign SpaceToDepth Split SplitToSequence Sqrt Squeeze Sub Sum Swish Tan Tanh
    ThresholdedRelu Tile TopK Transpose Trilu Unique Unsqueeze Upsample Where Xor
    BiasGelu FastGelu QLinearAdd QLinearAveragePool QLinearConcat QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul
    QLinearSigmoid QLinearSoftmax QuickGelu SkipLayerNormalization
    """.split()  # noqa: SIM905  two hundred quoted names would be twenty times the lines
)


@dataclass(slots=True)
class Tally:
    """What was counted: MACs by dtype pair, and by operator the nodes that could not be counted."""

    macs: Counter[str] = field(default_factory=Counter)
    uncounted: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Tally", *, times: int = 1, macs: bool = True) -> None:
        """Add a subgraph that runs `times` times; its uncounted nodes are listed once."""
        if macs:
            self.macs.update({key: count * times for key, count in other.macs.items()})
        self.uncounted.update(other.uncounted)


def count(scope: Scope) -> Tally:
    """Count one graph with its subgraphs."""
    tally = Tally()
    for node in scope.graph.node:
        inner = [count(Scope(graph, scope)) for graph in subgraphs(node)]
        if inner:
            _add_control_flow(tally, node, inner, scope)
        elif node.op_type not in FREE:
            _add_operator(tally, node, scope)
    return tally


def operators(graph: GraphProto) -> Counter[str]:
    """Nodes by operator, subgraphs included."""
    found = Counter(operator_name(node) for node in graph.node)
    for node in graph.node:
        for subgraph in subgraphs(node):
            found.update(operators(subgraph))
    return found


def operator_name(node: NodeProto) -> str:
    """The operator with its domain, unless that is ONNX's own."""
    return f"{node.domain}.{node.op_type}" if node.domain not in {"", "ai.onnx"} else str(node.op_type)


def _add_operator(tally: Tally, node: NodeProto, scope: Scope) -> None:
    rule = _RULES.get(node.op_type)
    counted = rule(node, scope) if rule else None
    if counted is None:
        tally.uncounted[operator_name(node)] += 1
    else:
        pair, macs = counted
        tally.macs[pair] += macs


def _add_control_flow(tally: Tally, node: NodeProto, inner: list[Tally], scope: Scope) -> None:
    """If: the costlier branch. Loop and Scan: the body times its trips; once, and listed, where the trips are unknown."""
    if node.op_type == "If":
        costliest = max(inner, key=lambda branch: branch.macs.total())
        for branch in inner:
            tally.add(branch, macs=branch is costliest)
        return
    trips = _trips(node, scope)
    if trips is None:
        tally.uncounted[operator_name(node)] += 1
    for body in inner:
        tally.add(body, times=1 if trips is None else trips)


def _trips(node: NodeProto, scope: Scope) -> int | None:
    if node.op_type == "Loop" and node.input[0]:
        return scope.scalar(node.input[0])
    if node.op_type == "Scan":
        scanned = next((a.i for a in node.attribute if a.name == "num_scan_inputs"), 0)
        axes = next((list(a.ints) for a in node.attribute if a.name == "scan_input_axes"), [0])
        dims = scope.dims(node.input[-scanned]) if scanned else None
        return dims[axes[0]] if dims else None
    return None


_Counted = tuple[str, int] | None
_Rule = Callable[[NodeProto, Scope], _Counted]


def _pair(scope: Scope, act: str, weight: str) -> str | None:
    """The dtypes that meet in a multiplication. Two dequantised operands multiply as integers; one alone as floats."""
    act_tensor, weight_tensor = scope.tensor(act), scope.tensor(weight)
    if act_tensor is None or weight_tensor is None:
        return None
    stored_act, stored_weight = scope.stored_dtype(act), scope.stored_dtype(weight)
    if stored_act and stored_weight:
        return f"{stored_act}{TIMES}{stored_weight}"
    return f"{act_tensor.dtype}{TIMES}{stored_weight or weight_tensor.dtype}"


def _counted(pair: str | None, macs: int | None) -> _Counted:
    return None if pair is None or macs is None else (pair, macs)


def _product(*dims: tuple[int, ...] | None) -> int | None:
    return (
        None if any(part is None for part in dims) else math.prod(math.prod(part) for part in dims if part is not None)
    )


def _tail(dims: tuple[int, ...] | None, start: int) -> tuple[int, ...] | None:
    return None if dims is None else dims[start:]


def _convolution(act: int, weight: int) -> _Rule:
    """Each output element takes one kernel over its group's input channels: prod(out) * prod(W.shape[1:])."""

    def rule(node: NodeProto, scope: Scope) -> _Counted:
        kernel = _tail(scope.dims(node.input[weight]), 1)
        macs = _product(scope.dims(node.output[0]), kernel)
        return _counted(_pair(scope, node.input[act], node.input[weight]), macs)

    return rule


def _transposed_convolution(node: NodeProto, scope: Scope) -> _Counted:
    """Each input element meets one kernel over its group's output channels: prod(in) * prod(W.shape[1:])."""
    macs = _product(scope.dims(node.input[0]), _tail(scope.dims(node.input[1]), 1))
    return _counted(_pair(scope, node.input[0], node.input[1]), macs)


def _matrix_product(act: int, weight: int) -> _Rule:
    """prod(out) * K, where K is the inner dimension: the last axis of A, the first when A is transposed."""

    def rule(node: NodeProto, scope: Scope) -> _Counted:
        dims = scope.dims(node.input[act])
        transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
        inner = None if not dims else (dims[0] if transposed else dims[-1],)
        return _counted(_pair(scope, node.input[act], node.input[weight]), _product(scope.dims(node.output[0]), inner))

    return rule


def _recurrent(node: NodeProto, scope: Scope) -> _Counted:
    """Each step of each sequence uses all weights once: steps * batch * (W + R). X is [steps, batch, in] or swapped."""
    steps = scope.dims(node.input[0])
    weights = [scope.tensor(name) for name in node.input[1:3]]
    sizes = [tensor.elements if tensor else None for tensor in weights]
    if steps is None or sizes[0] is None or sizes[1] is None:
        return None
    return _counted(_pair(scope, node.input[0], node.input[1]), math.prod(steps[:2]) * (sizes[0] + sizes[1]))


def _packed_matrix_product(node: NodeProto, scope: Scope) -> _Counted:
    """MatMulNBits: A [..., K] times packed B [K, N] of `bits` bits."""
    size = {attribute.name: attribute.i for attribute in node.attribute}
    act = scope.tensor(node.input[0])
    if act is None or act.elements is None or "N" not in size:
        return None
    return f"{act.dtype}{TIMES}int{size.get('bits', 4)}", act.elements * size["N"]


_RULES: dict[str, _Rule] = {
    "Conv": _convolution(0, 1),
    "FusedConv": _convolution(0, 1),
    "ConvInteger": _convolution(0, 1),
    "QLinearConv": _convolution(0, 3),
    "ConvTranspose": _transposed_convolution,
    "Gemm": _matrix_product(0, 1),
    "FusedGemm": _matrix_product(0, 1),
    "MatMul": _matrix_product(0, 1),
    "MatMulInteger": _matrix_product(0, 1),
    "QLinearMatMul": _matrix_product(0, 3),
    "QGemm": _matrix_product(0, 3),
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "RNN": _recurrent,
    "MatMulNBits": _packed_matrix_product,
}
