"""Looking things up in a graph: the type of a tensor, the node that makes it, the value of a small constant."""

import math
from dataclasses import dataclass

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto, numpy_helper

from benchmarks.static_cost.graphs import constant_of

_DTYPES: dict[int, str] = {
    **{number: name.lower() for name, number in TensorProto.DataType.items()},
    TensorProto.FLOAT: "float32",
    TensorProto.DOUBLE: "float64",
}
_BITS = {
    **dict.fromkeys(("float64", "int64", "uint64", "complex64"), 64),
    **dict.fromkeys(("float32", "int32", "uint32"), 32),
    **dict.fromkeys(("float16", "bfloat16", "int16", "uint16"), 16),
    **dict.fromkeys(("int8", "uint8", "bool", "float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz"), 8),
    **dict.fromkeys(("int4", "uint4", "float4e2m1"), 4),
    **dict.fromkeys(("int2", "uint2"), 2),
    "float8e8m0": 8,
    "complex128": 128,
}
# Operators whose output is the bytes of their first input.
VIEWS = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})


def dtype_name(element_type: int) -> str:
    """The dtype of an ONNX element type, as numpy spells it."""
    return _DTYPES.get(element_type, f"type-{element_type}")


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor's dtype and, where every dimension is known, its dimensions."""

    dtype: str
    dims: tuple[int, ...] | None

    @property
    def elements(self) -> int | None:
        """How many elements, where the dimensions are known."""
        return None if self.dims is None else math.prod(self.dims)

    @property
    def size_bytes(self) -> int | None:
        """Bytes when stored densely, where known (strings have no such size)."""
        elements, bits = self.elements, _BITS.get(self.dtype)
        return None if elements is None or bits is None else (elements * bits + 7) // 8


class Scope:
    """The names of one graph, and through `parent` those of the graphs around it."""

    def __init__(self, graph: GraphProto, parent: "Scope | None" = None) -> None:
        self.graph = graph
        self._parent = parent
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._producers = {name: node for node in graph.node for name in node.output if name}
        self._tensors = {value.name: tensor for value in (*graph.input, *graph.value_info) if (tensor := _of(value))}
        for node in graph.node:
            if node.op_type == "Constant" and (constant := constant_of(node)) is not None:
                self._constants[node.output[0]] = constant
        for name, constant in self._constants.items():
            self._tensors[name] = Tensor(dtype_name(constant.data_type), tuple(constant.dims))

    def tensor(self, name: str) -> Tensor | None:
        """The tensor of this name, or None where its type could not be inferred."""
        found = self._tensors.get(name)
        return found if found or self._parent is None else self._parent.tensor(name)

    def producer(self, name: str) -> NodeProto | None:
        """The node that makes it, or None for inputs and initializers."""
        found = self._producers.get(name)
        return found if found or self._parent is None else self._parent.producer(name)

    def constant(self, name: str) -> TensorProto | None:
        """The stored tensor of this name."""
        found = self._constants.get(name)
        return found if found or self._parent is None else self._parent.constant(name)

    def scalar(self, name: str) -> int | None:
        """The value of a stored integer scalar."""
        constant = self.constant(name)
        if constant is None or math.prod(constant.dims) != 1:
            return None
        return int(np.ravel(numpy_helper.to_array(constant))[0])

    def dims(self, name: str) -> tuple[int, ...] | None:
        """The dimensions, where all are known."""
        tensor = self.tensor(name)
        return None if tensor is None else tensor.dims

    def stored_dtype(self, name: str) -> str | None:
        """The integer dtype of what a DequantizeLinear unpacks into this tensor, also through views and transposes."""
        for _ in range(len(self.graph.node) + 1):
            node = self.producer(name)
            if node is None:
                return None
            if node.op_type == "DequantizeLinear":
                tensor = self.tensor(node.input[0])
                return tensor.dtype if tensor else None
            if node.op_type not in VIEWS and node.op_type != "Transpose":
                return None
            name = node.input[0]
        return None


def _of(value: ValueInfoProto) -> Tensor | None:
    if not value.type.HasField("tensor_type") or not value.type.tensor_type.elem_type:
        return None
    declared = value.type.tensor_type
    dims = [dim.dim_value if dim.HasField("dim_value") else None for dim in declared.shape.dim]
    known = declared.HasField("shape") and all(dim is not None for dim in dims)
    return Tensor(dtype_name(declared.elem_type), tuple(dim for dim in dims if dim is not None) if known else None)
