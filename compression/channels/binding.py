"""Which axis of which initializer carries which channels, followed through the graph from every layer to all that read it. No torch.

A channel is one number for all the places where it shows: the filter that makes it, its bias, its normalisation, its column in every
layer that reads it. Residual sums tie the channels of both sides, concatenations put them side by side, depthwise convolutions carry
them on. What cannot be followed (an operator not known here, a graph output, grouped convolutions that are not depthwise) is fixed: it
stays as it is. So an unknown graph loses possibilities, never correctness.
"""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

Ids = tuple[int, ...]

# fmt: off
_ALIKE = frozenset(
    [
        "Abs", "AveragePool", "Cast", "Ceil", "Clip", "Dropout", "Elu", "Erf", "Exp", "Floor", "Gelu",
        "GlobalAveragePool", "GlobalMaxPool", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "LpPool",
        "MaxPool", "Mish", "Neg", "Relu", "Round", "Selu", "Sigmoid", "Softplus", "Softsign", "Sqrt", "Tanh",
        "ThresholdedRelu",
    ]
)
# fmt: on
"""Operators whose channel c of the first output depends on channel c of the first input alone, and on no other tensor with channels."""
# fmt: off
_LEAVE_ZERO = frozenset(
    [
        "Abs", "Add", "AveragePool", "BatchNormalization", "Cast", "Ceil", "Concat", "Dropout", "Elu", "Erf",
        "Flatten", "Floor", "Gelu", "GlobalAveragePool", "GlobalMaxPool", "HardSwish", "Identity",
        "InstanceNormalization", "LeakyRelu", "LpPool", "Max", "MaxPool", "Mean", "Min", "Mish", "Mul", "Neg",
        "PRelu", "ReduceMax", "ReduceMean", "ReduceSum", "Relu", "Reshape", "Resize", "Round", "Selu", "Softsign",
        "Sqrt", "Squeeze", "Sub", "Sum", "Tanh", "ThresholdedRelu", "Upsample",
    ]
)
# fmt: on
"""Operators that make zeros of channels of zeros, as long as the constants that are bound to these channels are zeros too."""
_JOINING = frozenset(["Add", "Div", "Max", "Mean", "Min", "Mul", "PRelu", "Sub", "Sum"])
"""Elementwise operators of several tensors: channel c of each side belongs to channel c of the output."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer that makes channels of its own: its node's name, and the channels in the order of its outputs."""

    name: str
    weight: str
    ids: Ids


@dataclass(frozen=True)
class Binding:
    """Where channels show in a model. Channels are named by one number each, tied ones by the same; see `removable`.

    Attributes:
        axes: by initializer, the channels along each of its axes that has any.
        makers: the axis of an initializer along which channels are made, by initializer; other axes read them.
        groups: by the place of a node in the graph, the channels whose number is its attribute `group`.
        layers: those that make channels, in the order of the graph.
        fixed: channels that must stay.
        altered: channels that pass something which may make other numbers of zeros, a sigmoid for instance.
        scales: the initializers that are the scale of a batch normalisation.
    """

    axes: dict[str, dict[int, Ids]] = field(default_factory=dict)
    makers: dict[str, int] = field(default_factory=dict)
    groups: dict[int, Ids] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)
    fixed: frozenset[int] = frozenset()
    altered: frozenset[int] = frozenset()
    scales: frozenset[str] = frozenset()

    @functools.cached_property
    def removable(self) -> tuple[int, ...]:
        """Channels that may be removed, in the order of the layers that make them."""
        channels = (channel for layer in self.layers for channel in layer.ids)
        return tuple(dict.fromkeys(channel for channel in channels if channel not in self.fixed))

    @functools.cached_property
    def removable_set(self) -> frozenset[int]:
        """The same, to ask for one."""
        return frozenset(self.removable)


def bind(model: ModelProto) -> Binding:
    """Follow the channels of a model with ordinary operators; the model is left as it is."""
    tracer = _Tracer(onnx.shape_inference.infer_shapes(model, data_prop=True).graph)
    tracer.trace()
    return tracer.binding()


class _Tracer:
    def __init__(self, graph: GraphProto) -> None:
        self._graph = graph
        self._parents: list[int] = []
        self._fixed: set[int] = set()
        self._altered: set[int] = set()
        self._scales: set[str] = set()
        self._ids: dict[str, Ids] = {}
        self._initializers = {tensor.name: tensor for tensor in graph.initializer}
        self._shapes = {value.name: _shape_of(value) for value in (*graph.input, *graph.value_info, *graph.output)}
        self._axes: dict[str, dict[int, Ids]] = {}
        self._makers: dict[str, int] = {}
        self._groups: dict[int, Ids] = {}
        self._layers: list[Layer] = []
        self._used_otherwise: set[str] = set()
        self._place = 0
        self._rules: dict[str, Callable[[NodeProto], bool]] = {
            "Conv": self._convolution,
            "ConvTranspose": self._transposed_convolution,
            "Gemm": self._gemm,
            "MatMul": self._matrix_product,
            "BatchNormalization": self._normalisation,
            "InstanceNormalization": self._normalisation,
            "Concat": self._concatenation,
            "Flatten": self._flattening,
            "Reshape": self._reshaping,
            "ReduceMean": self._reduction,
            "ReduceSum": self._reduction,
            "ReduceMax": self._reduction,
            "Squeeze": self._squeezing,
            "Pad": self._spatial_padding,
            "Resize": self._resizing,
            "Upsample": self._resizing,
        }

    def trace(self) -> None:
        for value in self._graph.input:
            if value.name not in self._initializers:
                self._ids[value.name] = self._new_fixed(self._channels(value.name))
        for place, node in enumerate(self._graph.node):
            self._place = place
            if not self._follow(node):
                self._fix_around(node)
        for value in self._graph.output:
            self._fix(self._ids.get(value.name, ()))

    def binding(self) -> Binding:
        for name in self._used_otherwise:
            for ids in self._axes.get(name, {}).values():
                self._fix(ids)
        return Binding(
            {name: {axis: self._roots(ids) for axis, ids in axes.items()} for name, axes in self._axes.items()},
            dict(self._makers),
            {place: self._roots(ids) for place, ids in self._groups.items()},
            [Layer(layer.name, layer.weight, self._roots(layer.ids)) for layer in self._layers],
            frozenset(self._root(channel) for channel in self._fixed),
            frozenset(self._root(channel) for channel in self._altered),
            frozenset(self._scales),
        )

    # Channels, and which of them are one.

    def _new(self, count: int) -> Ids:
        first = len(self._parents)
        self._parents.extend(range(first, first + count))
        return tuple(range(first, first + count))

    def _new_fixed(self, count: int) -> Ids:
        ids = self._new(count)
        self._fix(ids)
        return ids

    def _fix(self, ids: Iterable[int]) -> None:
        self._fixed.update(ids)

    def _root(self, channel: int) -> int:
        while self._parents[channel] != channel:
            self._parents[channel] = self._parents[self._parents[channel]]
            channel = self._parents[channel]
        return channel

    def _roots(self, ids: Ids) -> Ids:
        return tuple(self._root(channel) for channel in ids)

    def _tie(self, one: Ids, other: Ids) -> None:
        for a, b in zip(one, other, strict=True):
            low, high = sorted((self._root(a), self._root(b)))
            self._parents[high] = low

    # What nodes do with them.

    def _follow(self, node: NodeProto) -> bool:
        """Whether the node is understood; then its outputs have channels."""
        if node.domain not in ("", "ai.onnx") or len([name for name in node.output if name]) != 1:
            return False
        if node.op_type == "Clip":
            return self._pass_on(node, self._of(node.input[0]), leaves_zero=self._clips_around_zero(node))
        if node.op_type in _ALIKE:
            return self._pass_on(node, self._of(node.input[0])) and self._has_no_channels(node.input[1:])
        if node.op_type in _JOINING:
            return self._join(node)
        rule = self._rules.get(node.op_type)
        return rule is not None and rule(node)

    def _fix_around(self, node: NodeProto) -> None:
        for name in (*node.input, *_captured(node)):
            self._fix(self._ids.get(name, ()))
            self._used_otherwise.add(name)
        for name in node.output:
            self._ids[name] = self._new_fixed(self._channels(name))

    def _of(self, name: str) -> Ids:
        return self._ids.get(name, ())

    def _pass_on(self, node: NodeProto, ids: Ids, *, leaves_zero: bool | None = None) -> bool:
        if not ids:
            return False
        if not (node.op_type in _LEAVE_ZERO if leaves_zero is None else leaves_zero):
            self._altered.update(ids)
        self._ids[node.output[0]] = ids
        return True

    def _clips_around_zero(self, node: NodeProto) -> bool:
        bounds: list[float | None] = [_attribute(node, "min", None), _attribute(node, "max", None)]
        for place, name in enumerate(node.input[1:]):
            if name:
                bounds[place] = (self._numbers(name) or [math.nan])[0]
        low, high = bounds
        return (low is None or low <= 0) and (high is None or high >= 0)

    def _has_no_channels(self, names: Sequence[str]) -> bool:
        return all(prod(self._initializers[name].dims) <= 1 for name in names if name in self._initializers)

    def _make(self, node: NodeProto, weight: str, axis: int, bias: str) -> None:
        tensor = self._initializers[weight]
        made = self._axes.get(weight, {}).get(axis) or self._new(tensor.dims[axis])
        self._put(weight, axis, made)
        self._makers[weight] = axis
        if bias:
            self._put(bias, len(self._initializers[bias].dims) - 1, made)
            self._makers[bias] = len(self._initializers[bias].dims) - 1
        self._layers.append(Layer(node.name or node.output[0], weight, made))
        self._ids[node.output[0]] = made

    def _put(self, initializer: str, axis: int, ids: Ids) -> None:
        axes = self._axes.setdefault(initializer, {})
        if axis in axes:
            self._tie(axes[axis], ids)
        axes[axis] = ids

    def _is_vector(self, name: str, size: int) -> bool:
        """Whether it is an initializer with `size` items along its last axis and one along all others."""
        return name in self._initializers and list(self._initializers[name].dims)[-1:] == [size] == [
            prod(self._initializers[name].dims)
        ]

    def _weights_fit(self, node: NodeProto, in_axis: int, out_axis: int, incoming: Ids) -> bool:
        weight = node.input[1]
        bias = node.input[2] if len(node.input) > 2 else ""
        if weight not in self._initializers or not incoming:
            return False
        dims = self._initializers[weight].dims
        return dims[in_axis] == len(incoming) and (not bias or self._is_vector(bias, dims[out_axis]))

    def _linear(self, node: NodeProto, in_axis: int, out_axis: int) -> bool:
        incoming = self._of(node.input[0])
        if not self._weights_fit(node, in_axis, out_axis, incoming):
            return False
        self._put(node.input[1], in_axis, incoming)
        self._make(node, node.input[1], out_axis, node.input[2] if len(node.input) > 2 else "")
        return True

    def _convolution(self, node: NodeProto) -> bool:
        groups = _attribute(node, "group", 1)
        if groups == 1:
            return self._linear(node, 1, 0)
        incoming, weight = self._of(node.input[0]), node.input[1]
        if weight not in self._initializers or len(incoming) != groups or self._initializers[weight].dims[1] != 1:
            return False
        filters = self._initializers[weight].dims[0]
        bias = node.input[2] if len(node.input) > 2 else ""
        if filters % groups or (bias and not self._is_vector(bias, filters)):
            return False
        outgoing = tuple(channel for channel in incoming for _ in range(filters // groups))
        for name in filter(None, (weight, bias)):
            self._put(name, 0, outgoing)
        self._groups[self._place] = incoming
        # Its bias counts among what makes the channel.
        return self._pass_on(node, outgoing, leaves_zero=True)

    def _transposed_convolution(self, node: NodeProto) -> bool:
        return _attribute(node, "group", 1) == 1 and self._linear(node, 0, 1)

    def _gemm(self, node: NodeProto) -> bool:
        if _attribute(node, "transA", 0):
            return False
        return self._linear(node, 1, 0) if _attribute(node, "transB", 0) else self._linear(node, 0, 1)

    def _matrix_product(self, node: NodeProto) -> bool:
        weight = self._initializers.get(node.input[1])
        is_plain = weight is not None and len(weight.dims) == 2 and self._rank(node.input[0]) == 2
        return is_plain and self._linear(node, 0, 1)

    def _normalisation(self, node: NodeProto) -> bool:
        ids = self._of(node.input[0])
        if not ids or not all(self._is_vector(name, len(ids)) for name in node.input[1:]):
            return False
        for name in node.input[1:]:
            self._put(name, 0, ids)
        if node.op_type == "BatchNormalization":
            self._scales.add(node.input[1])
        return self._pass_on(node, ids)

    def _join(self, node: NodeProto) -> bool:
        """Sides with as many channels are tied; initializers are bound along the axis that meets the channels, or have one item there."""
        rank = self._rank(node.output[0])
        sides = [name for name in node.input if name not in self._initializers]
        if rank is None or not sides or any(self._rank(name) != rank for name in sides):
            return False
        ids = self._of(sides[0])
        constants = [(name, self._meeting_axis(name, rank)) for name in node.input if name in self._initializers]
        fits = [axis is None or self._initializers[name].dims[axis] == len(ids) for name, axis in constants]
        if not ids or not all(fits) or any(len(self._of(side)) != len(ids) for side in sides):
            return False
        for side in sides[1:]:
            self._tie(ids, self._of(side))
        for name, axis in constants:
            if axis is not None:
                self._put(name, axis, ids)
                self._makers[name] = axis
        # A number added to a channel of zeros leaves no zero, unless it is one that is bound to the channel, and looked at with it.
        is_bound = node.op_type == "Mul" or all(axis is not None for _, axis in constants)
        return self._pass_on(node, ids, leaves_zero=is_bound and node.op_type in _LEAVE_ZERO)

    def _meeting_axis(self, name: str, rank: int) -> int | None:
        """The axis of an initializer that broadcasting lays on axis 1 of `rank` axes; none where one item serves all channels."""
        dims = self._initializers[name].dims
        axis = 1 - rank + len(dims)
        return None if axis < 0 or dims[axis] == 1 else axis

    def _concatenation(self, node: NodeProto) -> bool:
        rank = self._rank(node.input[0])
        parts = [self._of(name) for name in node.input]
        if not rank or _attribute(node, "axis", 0) % rank != 1 or not all(parts):
            return False
        return self._pass_on(node, tuple(channel for part in parts for channel in part))

    def _flattening(self, node: NodeProto) -> bool:
        shape = self._shapes.get(node.input[0])
        if not shape or _attribute(node, "axis", 1) != 1 or any(not extent for extent in shape[2:]):
            return False
        inner = prod(extent or 0 for extent in shape[2:])
        return self._pass_on(node, tuple(channel for channel in self._of(node.input[0]) for _ in range(inner)))

    def _reshaping(self, node: NodeProto) -> bool:
        """Only what `Flatten` does, with the size of the flat axis left open."""
        wanted = self._numbers(node.input[1])
        return wanted is not None and len(wanted) == 2 and wanted[1] == -1 and self._flattening(node)

    def _reduction(self, node: NodeProto) -> bool:
        return self._is_spatial(self._axes_of(node), node) and self._pass_on(node, self._of(node.input[0]))

    _squeezing = _reduction

    def _axes_of(self, node: NodeProto) -> Sequence[float] | None:
        if len(node.input) > 1 and node.input[1]:
            return self._numbers(node.input[1])
        found: Sequence[float] | None = _attribute(node, "axes", None)
        return found

    def _is_spatial(self, axes: Sequence[float] | None, node: NodeProto) -> bool:
        rank = self._rank(node.input[0])
        return bool(rank and axes) and all(axis % (rank or 1) > 1 for axis in axes or ())

    def _spatial_padding(self, node: NodeProto) -> bool:
        rank = self._rank(node.input[0])
        pads = self._numbers(node.input[1]) if len(node.input) > 1 else _attribute(node, "pads", None)
        if not rank or not pads or any(pads[axis] for axis in (0, 1, rank, rank + 1)):
            return False
        return self._pass_on(node, self._of(node.input[0]))

    def _resizing(self, node: NodeProto) -> bool:
        scales = self._numbers(node.input[2 if node.op_type == "Resize" else 1]) if len(node.input) < 4 else None
        is_spatial = scales is not None and len(scales) > 2 and list(scales[:2]) == [1, 1]
        return is_spatial and self._pass_on(node, self._of(node.input[0]))

    # What the graph says of its tensors.

    def _rank(self, name: str) -> int | None:
        shape = self._shapes.get(name)
        return None if shape is None else len(shape)

    def _channels(self, name: str) -> int:
        shape = self._shapes.get(name) or ()
        return (shape[1] or 0) if len(shape) > 1 else 0

    def _numbers(self, name: str) -> list[float] | None:
        """The numbers of a constant list."""
        tensor = self._initializers.get(name)
        if tensor is None:
            tensor = next(
                (
                    attribute.t
                    for node in self._graph.node
                    if node.op_type == "Constant" and name in node.output
                    for attribute in node.attribute
                    if attribute.name == "value"
                ),
                None,
            )
        return None if tensor is None else list(numpy_helper.to_array(tensor).reshape(-1).tolist())


def _attribute(node: NodeProto, name: str, default: object) -> Any:
    return next((helper.get_attribute_value(own) for own in node.attribute if own.name == name), default)


def _captured(node: NodeProto) -> list[str]:
    """Names that the graphs inside of a node read."""
    graphs = [attribute.g for attribute in node.attribute if attribute.type == AttributeProto.GRAPH]
    return [name for graph in graphs for inner in graph.node for name in (*inner.input, *_captured(inner))]


def _shape_of(value: onnx.ValueInfoProto) -> tuple[int | None, ...] | None:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape") or tensor.elem_type == TensorProto.UNDEFINED:
        return None
    return tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim)
