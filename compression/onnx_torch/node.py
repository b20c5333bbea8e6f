"""One node of a graph, and one call of it: what an operator's function is given."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import NodeProto
from torch import Tensor

from compression.errors import ModelUnusable

Outputs = Tensor | Sequence[Tensor | None]


@dataclass(frozen=True, slots=True)
class Node:
    """A node as the file has it. `name` is the node's own, or that of its first output."""

    op: str
    domain: str
    opset: int
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    @classmethod
    def read(cls, proto: NodeProto, opsets: Mapping[str, int]) -> "Node":
        """The node of `proto` in a model with these operator sets."""
        domain = "" if proto.domain == "ai.onnx" else proto.domain
        return cls(
            op=proto.op_type,
            domain=domain,
            opset=opsets.get(domain, 1),
            name=proto.name or next((name for name in proto.output if name), proto.op_type),
            inputs=tuple(proto.input),
            outputs=tuple(proto.output),
            attributes={a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute if not a.ref_attr_name},
        )

    def __str__(self) -> str:
        return f"{self.domain + ':' if self.domain else ''}{self.op} {self.name}"

    def unusable(self, why: str) -> ModelUnusable:
        """The error that names this node."""
        return ModelUnusable(f"{self}: {why}")


@dataclass(frozen=True, slots=True)
class Call:
    """A node with the values it is applied to.

    Attributes:
        values: one per input; None where the input is left out.
        training: the net is in train mode.
        statistics: the names that are running statistics of the net, to be updated in train mode.
        types: the ONNX element types that the file states, by name.
    """

    node: Node
    values: tuple[Tensor | None, ...]
    training: bool
    statistics: frozenset[str]
    types: Mapping[str, int]

    def tensor(self, index: int) -> Tensor:
        """Input `index`, which must be there."""
        value = self.optional(index)
        if value is None:
            raise self.node.unusable(f"input {index} is missing")
        return value

    def optional(self, index: int) -> Tensor | None:
        """Input `index`, or None where it is left out."""
        return self.values[index] if index < len(self.values) else None

    def present(self) -> list[Tensor]:
        """All inputs that are there, in order."""
        return [value for value in self.values if value is not None]

    def is_statistic(self, index: int) -> bool:
        """Whether input `index` is a running statistic that belongs to the net."""
        return index < len(self.node.inputs) and self.node.inputs[index] in self.statistics

    def element_type(self, index: int) -> int:
        """The ONNX element type of input `index`, or 0 where the file does not state it."""
        return self.types.get(self.node.inputs[index], 0) if index < len(self.node.inputs) else 0

    def integer(self, name: str, default: int) -> int:
        return int(self.node.attributes.get(name, default))

    def number(self, name: str, default: float) -> float:
        return float(self.node.attributes.get(name, default))

    def text(self, name: str, default: str) -> str:
        value = self.node.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else str(value)

    def integers(self, name: str) -> list[int] | None:
        """A list attribute, or None where it is not set."""
        value = self.node.attributes.get(name)
        return None if value is None else [int(v) for v in value]

    def listed(self, name: str, index: int) -> list[int] | None:
        """Integers that older operator sets have as attribute `name` and newer ones as input `index`."""
        value = self.optional(index)
        return self.integers(name) if value is None else [int(v) for v in value.reshape(-1).tolist()]


Operator = Callable[[Call], Outputs]
