"""Where the tensors of an ONNX file are: name, type, shape and the byte range of their values.

Walks the protobuf wire format (https://protobuf.dev/programming-guides/encoding/) with the field numbers of
`onnx.proto`, because no parser reports offsets. Anything that is not ONNX, or only nearly, has no tensors: its bytes
are then coded as bytes. Found are initializers, sparse ones too (values and indices), and the tensors of node
attributes (Constant nodes), in subgraphs, functions and what is there for training. Values in `raw_data`, `float_data`
or `double_data` are little-endian arrays; those in `int32_data`, `int64_data` or `uint64_data` are varints. A list that
a writer did not pack, or put down in several parts, is left to be coded as bytes.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from delta.encoder.tensors import ITEM_BY_DATA_TYPE, PACKED_DATA_TYPES, TensorRef, Tensors, VarintsRef

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MODEL_GRAPH, _MODEL_TRAINING, _MODEL_FUNCTIONS = 7, 20, 25
_TRAINING_GRAPHS = (1, 2)
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE_INITIALIZER = 1, 5, 15
_SPARSE_TENSORS = (1, 2)
_FUNCTION_NODE, _FUNCTION_ATTRIBUTE = 7, 11
_NODE_OUTPUT, _NODE_ATTRIBUTE = 2, 5
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE_TENSORS = (5, 10), (6, 11), (22, 23)
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME = 1, 2, 8
_TENSOR_FLOATS, _TENSOR_RAW, _TENSOR_DOUBLES = 4, 9, 10
_TENSOR_VARINTS = (5, 7, 11)

MAX_DEPTH = 32
MAX_FIELDS = 4_000_000
"""Past this many fields (seconds of walking) a file counts as bytes."""

Window = tuple[int, int]


def find(file: memoryview) -> Tensors | None:
    """All tensors in the order of the file; nothing when it is no ONNX model."""
    walker = _Walker(file)
    try:
        walker.model((0, len(file)))
    except _NotOnnx:
        return None
    walker.found.sort()
    return walker.found


class _NotOnnx(Exception):
    """The bytes are no protobuf message, or no ONNX."""


@dataclass(slots=True)
class _Walker:
    file: memoryview
    found: Tensors = field(default_factory=Tensors)
    fields: int = 0

    def model(self, window: Window) -> None:
        for number, value in self._messages(window):
            if number == _MODEL_GRAPH:
                self._graph(value, MAX_DEPTH)
            elif number == _MODEL_TRAINING:
                for inner, graph in self._messages(value):
                    if inner in _TRAINING_GRAPHS:
                        self._graph(graph, MAX_DEPTH)
            elif number == _MODEL_FUNCTIONS:
                for inner, part in self._messages(value):
                    if inner == _FUNCTION_NODE:
                        self._node(part, MAX_DEPTH)
                    elif inner == _FUNCTION_ATTRIBUTE:
                        self._attribute(part, None, MAX_DEPTH)

    def _graph(self, window: Window, depth: int) -> None:
        if depth == 0:
            raise _NotOnnx
        for number, value in self._messages(window):
            if number == _GRAPH_NODE:
                self._node(value, depth)
            elif number == _GRAPH_INITIALIZER:
                self._tensor(value, None)
            elif number == _GRAPH_SPARSE_INITIALIZER:
                self._sparse_tensor(value, None)

    def _node(self, window: Window, depth: int) -> None:
        output = None
        for number, value in self._messages(window):
            if number == _NODE_OUTPUT and output is None:
                output = self._text(value)
            elif number == _NODE_ATTRIBUTE:
                self._attribute(value, output, depth)

    def _attribute(self, window: Window, owner: str | None, depth: int) -> None:
        for number, value in self._messages(window):
            if number in _ATTRIBUTE_TENSORS:
                self._tensor(value, owner)
            elif number in _ATTRIBUTE_GRAPHS:
                self._graph(value, depth - 1)
            elif number in _ATTRIBUTE_SPARSE_TENSORS:
                self._sparse_tensor(value, owner)

    def _sparse_tensor(self, window: Window, owner: str | None) -> None:
        for number, value in self._messages(window):
            if number in _SPARSE_TENSORS:
                self._tensor(value, owner)

    def _tensor(self, window: Window, owner: str | None) -> None:
        name, data_type, dims = "", 0, []
        values: list[tuple[int, Window]] = []
        for number, wire, value in self._fields(window):
            if number == _TENSOR_DIMS:
                dims += [value[0]] if wire == _VARINT else list(self._packed(value))
            elif number == _TENSOR_TYPE and wire == _VARINT:
                data_type = value[0]
            elif number == _TENSOR_NAME and wire == _BYTES:
                name = self._text(value)
            elif number in (_TENSOR_RAW, _TENSOR_FLOATS, _TENSOR_DOUBLES, *_TENSOR_VARINTS) and wire == _BYTES:
                values.append((number, value))
        if len(values) != 1 or data_type not in ITEM_BY_DATA_TYPE:
            return
        number, (start, end) = values[0]
        if number in _TENSOR_VARINTS:
            self.found.varints.append(VarintsRef(data_type, start, end - start))
            return
        tensor = TensorRef(owner or name, data_type, tuple(dims), start, end - start)
        width = int(ITEM_BY_DATA_TYPE[data_type][1])
        if tensor.size and (data_type in PACKED_DATA_TYPES or tensor.size == math.prod(dims) * width):
            self.found.fixed.append(tensor)

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
