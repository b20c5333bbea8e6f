"""Where the tensors of an ONNX file are: name, type, shape and the byte range of their values.

Walks the protobuf wire format (https://protobuf.dev/programming-guides/encoding/) with the field numbers of
`onnx.proto`, because no parser reports offsets. Anything that is not ONNX, or only nearly, has no tensors: its bytes
are then coded as bytes. Found are initializers and the tensors of node attributes (Constant nodes), in subgraphs and
functions too, whose values stand in `raw_data`, `float_data` or `double_data`; the latter two are packed little-endian
arrays just the same.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from delta.arrays import ITEM_NAMES, ITEM_TYPES

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MODEL_GRAPH, _MODEL_FUNCTIONS = 7, 25
_GRAPH_NODE, _GRAPH_INITIALIZER = 1, 5
_FUNCTION_NODE = 7
_NODE_OUTPUT, _NODE_ATTRIBUTE = 2, 5
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS = 5, 6, 10, 11
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_FLOATS, _TENSOR_NAME, _TENSOR_RAW, _TENSOR_DOUBLES = 1, 2, 4, 8, 9, 10

MAX_DEPTH = 32
MAX_FIELDS = 4_000_000
"""Past this many fields (seconds of walking) a file counts as bytes."""

ITEM_BY_DATA_TYPE = {
    1: "f4", 2: "u1", 3: "i1", 4: "u2", 5: "i2", 6: "i4", 7: "i8", 9: "u1", 10: "f2", 11: "f8", 12: "u4", 13: "u8",
    16: "u2", 17: "u1", 18: "u1", 19: "u1", 20: "u1", 21: "u1", 22: "u1",
}  # fmt: skip
"""`TensorProto.DataType` to the item type its bytes are coded as: bfloat16 as 2 bytes, float8 and packed int4 as 1."""
FLOAT_DATA_TYPES = frozenset({1, 10, 11, 16})
"""float, float16, double, bfloat16: sign and magnitude with the sign bit on top."""

Window = tuple[int, int]


@dataclass(frozen=True, slots=True)
class TensorRef:
    """One tensor's values: `size` bytes from `offset` of the file on; `data_type` is ONNX's number."""

    name: str
    data_type: int
    dims: tuple[int, ...]
    offset: int
    size: int

    @property
    def item(self) -> int:
        """The number of the item type that its values are coded as."""
        return ITEM_NAMES.index(ITEM_BY_DATA_TYPE[self.data_type])

    @property
    def items(self) -> int:
        """How many of these there are; packed int4 counts as bytes."""
        return self.size // ITEM_TYPES[self.item].itemsize

    @property
    def is_float(self) -> bool:
        return self.data_type in FLOAT_DATA_TYPES

    @property
    def end(self) -> int:
        return self.offset + self.size


def find_tensors(file: memoryview) -> list[TensorRef]:
    """All tensors in the order of the file; none when it is no ONNX model."""
    walker = _Walker(file)
    try:
        walker.model((0, len(file)))
    except _NotOnnx:
        return []
    return sorted(walker.found, key=lambda tensor: tensor.offset)


class _NotOnnx(Exception):
    """The bytes are no protobuf message, or no ONNX."""


@dataclass(slots=True)
class _Walker:
    file: memoryview
    found: list[TensorRef] = field(default_factory=list)
    fields: int = 0

    def model(self, window: Window) -> None:
        for number, value in self._messages(window):
            if number == _MODEL_GRAPH:
                self._graph(value, MAX_DEPTH)
            elif number == _MODEL_FUNCTIONS:
                for inner, node in self._messages(value):
                    if inner == _FUNCTION_NODE:
                        self._node(node, MAX_DEPTH)

    def _graph(self, window: Window, depth: int) -> None:
        if depth == 0:
            raise _NotOnnx
        for number, value in self._messages(window):
            if number == _GRAPH_NODE:
                self._node(value, depth)
            elif number == _GRAPH_INITIALIZER:
                self._tensor(value, None)

    def _node(self, window: Window, depth: int) -> None:
        output = None
        for number, value in self._messages(window):
            if number == _NODE_OUTPUT and output is None:
                output = self._text(value)
            elif number == _NODE_ATTRIBUTE:
                self._attribute(value, output, depth)

    def _attribute(self, window: Window, owner: str | None, depth: int) -> None:
        for number, value in self._messages(window):
            if number in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS):
                self._tensor(value, owner)
            elif number in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS):
                self._graph(value, depth - 1)

    def _tensor(self, window: Window, owner: str | None) -> None:
        name, data_type, dims, values = "", 0, [], None
        for number, wire, value in self._fields(window):
            if number == _TENSOR_DIMS:
                dims += [value[0]] if wire == _VARINT else list(self._packed(value))
            elif number == _TENSOR_TYPE and wire == _VARINT:
                data_type = value[0]
            elif number == _TENSOR_NAME and wire == _BYTES:
                name = self._text(value)
            elif number in (_TENSOR_RAW, _TENSOR_FLOATS, _TENSOR_DOUBLES) and wire == _BYTES:
                values = value
        if values is None or data_type not in ITEM_BY_DATA_TYPE:
            return
        tensor = TensorRef(owner or name, data_type, tuple(dims), values[0], values[1] - values[0])
        width = int(ITEM_BY_DATA_TYPE[data_type][1])
        packed_int4 = data_type in (21, 22)
        if tensor.size and (packed_int4 or tensor.size == math.prod(dims) * width):
            self.found.append(tensor)

    def _text(self, window: Window) -> str:
        return bytes(self.file[window[0] : window[1]]).decode("utf-8", "surrogateescape")

    def _packed(self, window: Window) -> Iterator[int]:
        at, end = window
        while at < end:
            value, at = self._varint(at, end)
            yield value

    def _messages(self, window: Window) -> Iterator[tuple[int, Window]]:
        for number, wire, value in self._fields(window):
            if wire == _BYTES:
                yield number, value

    def _fields(self, window: Window) -> Iterator[tuple[int, int, Window]]:
        """Number, wire type, and the byte range of the value (for a varint: the value, twice)."""
        at, end = window
        while at < end:
            self.fields += 1
            key, at = self._varint(at, end)
            wire = key & 7
            if wire == _VARINT:
                number, at = self._varint(at, end)
                value = (number, number)
            elif wire == _BYTES:
                size, at = self._varint(at, end)
                value = (at, at + size)
            elif wire in (_FIXED32, _FIXED64):
                value = (at, at + (4 if wire == _FIXED32 else 8))
            else:
                raise _NotOnnx
            if wire != _VARINT:
                at = value[1]
            if at > end or key < 8 or self.fields > MAX_FIELDS:
                raise _NotOnnx
            yield key >> 3, wire, value

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if at >= end:
                raise _NotOnnx
            byte = self.file[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
        raise _NotOnnx
