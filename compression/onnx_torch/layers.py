"""Which nodes of a graph are layers, i.e. multiply what comes in by constant weights, and which axes of the weights mean what. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from compression.onnx_torch.node import Node

# What hands a tensor on without mixing its values; a weight is looked for behind them.
_THROUGH = {"Identity", "Cast", "QuantizeLinear", "DequantizeLinear", "Transpose"}


@dataclass(frozen=True, slots=True)
class Layer:
    """A node with constant weights.

    Attributes:
        name: the node's (its first output's where it has none); with "/R" behind it for the recurrent weights of an LSTM or GRU.
        op: Conv, ConvTranspose, Gemm, MatMul, LSTM or GRU.
        weight, bias: names in `OnnxNet.weights`; two layers may share one. A MatMul's bias is the constant that the next Add adds.
        out_axis, in_axis: axes of the weight tensor, from 0. With `groups`, one of them counts the channels of one group only, as ONNX has it.
    """

    name: str
    op: str
    weight: str
    bias: str | None
    out_axis: int
    in_axis: int
    groups: int


def find_layers(nodes: Sequence[Node], shapes: Mapping[str, tuple[int, ...]]) -> tuple[Layer, ...]:
    """The layers in the order of the nodes; `shapes` are those of the float constants by name."""
    finder = _Finder(nodes, shapes)
    return tuple(layer for node in nodes for layer in finder.layers_of(node))


class _Finder:
    def __init__(self, nodes: Sequence[Node], shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._shapes = shapes
        self._makers = {name: node for node in nodes for name in node.outputs if name}
        self._users: dict[str, list[Node]] = {}
        for node in nodes:
            for name in node.inputs:
                self._users.setdefault(name, []).append(node)

    def layers_of(self, node: Node) -> list[Layer]:
        if node.domain not in ("", "com.microsoft"):
            return []
        group = int(node.attributes.get("group", 1))
        match node.op:
            case "Conv" | "FusedConv":
                return self._layer(node, "Conv", 1, bias=2, out_axis=0, in_axis=1, groups=group)
            case "ConvTranspose":
                return self._layer(node, node.op, 1, bias=2, out_axis=1, in_axis=0, groups=group)
            case "Gemm":
                return self._gemm(node)
            case "MatMul":
                return self._matmul(node)
            case "LSTM" | "GRU" | "RNN":
                inner = self._layer(node, node.op, 1, bias=3, out_axis=1, in_axis=2)
                return inner + self._layer(node, node.op, 2, bias=None, out_axis=1, in_axis=2, suffix="/R")
        return []

    def _gemm(self, node: Node) -> list[Layer]:
        turned = bool(node.attributes.get("transB", 0))
        if found := self._layer(node, node.op, 1, bias=2, out_axis=int(not turned), in_axis=int(turned)):
            return found
        turned = bool(node.attributes.get("transA", 0))
        return self._layer(node, node.op, 0, bias=2, out_axis=int(turned), in_axis=int(not turned))

    def _matmul(self, node: Node) -> list[Layer]:
        if found := self._layer(node, node.op, 1, bias=None, out_axis=-1, in_axis=-2):
            return found
        return self._layer(node, node.op, 0, bias=None, out_axis=-2, in_axis=-1)

    def _layer(
        self,
        node: Node,
        op: str,
        place: int,
        *,
        bias: int | None,
        out_axis: int,
        in_axis: int,
        groups: int = 1,
        suffix: str = "",
    ) -> list[Layer]:
        found = self._constant(node.inputs[place]) if place < len(node.inputs) else None
        if found is None:
            return []
        weight, axes = found
        rank = len(axes)
        if rank < 2:
            return []
        added = self._constant(node.inputs[bias]) if bias is not None and bias < len(node.inputs) else None
        return [
            Layer(
                name=node.name + suffix,
                op=op,
                weight=weight,
                bias=self._added_after(node, weight, axes[out_axis]) if op == "MatMul" else added and added[0],
                out_axis=axes[out_axis],
                in_axis=axes[in_axis],
                groups=groups,
            )
        ]

    def _constant(self, name: str) -> tuple[str, tuple[int, ...]] | None:
        """The float constant behind `name`, and which of its axes each axis of `name` is."""
        turns: list[Collection[int]] = []
        while name not in self._shapes:
            maker = self._makers.get(name)
            if maker is None or maker.op not in _THROUGH or not maker.inputs:
                return None
            if maker.op == "Transpose":
                turns.append(maker.attributes.get("perm", ()))
            name = maker.inputs[0]
        axes = tuple(range(len(self._shapes[name])))
        for turn in reversed(turns):
            axes = tuple(axes[place] for place in turn) if turn else axes[::-1]
        return name, axes

    def _added_after(self, node: Node, weight: str, out_axis: int) -> str | None:
        users = self._users.get(node.outputs[0], [])
        if len(users) != 1 or users[0].op != "Add":
            return None
        size = self._shapes[weight][out_axis]
        for name in users[0].inputs:
            found = self._constant(name)
            if found is not None and self._shapes[found[0]][-1:] == (size,) and len(found[1]) == 1:
                return found[0]
        return None
