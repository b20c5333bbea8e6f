"""Tensors are found wherever ONNX and safetensors put them, where they stand and as what they are."""

import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

from delta.encoder.containers import find_tensors
from tests.delta.conftest import RoundTrip

WEIGHTS = np.random.default_rng(1).normal(size=(6, 8)).astype(np.float32)
OTHERS = WEIGHTS[::-1].copy()


def tensor(values: np.ndarray = WEIGHTS, name: str = "weight") -> TensorProto:
    return numpy_helper.from_array(values, name)


def graph(*tensors: TensorProto, nodes: list[Any] | None = None) -> GraphProto:
    return helper.make_graph(nodes or [], "graph", [], [], list(tensors))


def sparse() -> Any:
    return helper.make_sparse_tensor(
        tensor(WEIGHTS[0], "weight"), tensor(np.arange(8, dtype=np.int64), "places"), [1, 99]
    )


def in_a_subgraph() -> ModelProto:
    return helper.make_model(graph(nodes=[helper.make_node("If", ["p"], ["o"], then_branch=graph(tensor()))]))


def in_a_constant() -> ModelProto:
    return helper.make_model(graph(nodes=[helper.make_node("Constant", [], ["weight"], value=tensor(name="inner"))]))


def in_a_list() -> ModelProto:
    node = helper.make_node("Custom", [], ["weight"], many=[tensor(name="inner"), tensor(OTHERS, "inner")])
    return helper.make_model(graph(nodes=[node]))


def in_a_function() -> ModelProto:
    node = helper.make_node("Constant", [], ["weight"], value=tensor())
    function = helper.make_function("d", "f", [], ["weight"], [node], [helper.make_opsetid("", 17)])
    return helper.make_model(graph(), functions=[function])


def in_a_functions_default() -> ModelProto:
    model = in_a_function()
    del model.functions[0].node[:]
    model.functions[0].attribute_proto.append(helper.make_attribute("weight", tensor()))
    return model


def for_training() -> ModelProto:
    model = helper.make_model(graph())
    model.training_info.add().initialization.CopyFrom(graph(tensor()))
    return model


def as_sparse_initializer() -> ModelProto:
    model = helper.make_model(graph())
    model.graph.sparse_initializer.append(sparse())
    return model


def as_sparse_constant() -> ModelProto:
    return helper.make_model(graph(nodes=[helper.make_node("Constant", [], ["weight"], sparse_value=sparse())]))


PLACES = [
    in_a_subgraph,
    in_a_constant,
    in_a_list,
    in_a_function,
    in_a_functions_default,
    for_training,
    as_sparse_initializer,
    as_sparse_constant,
]


@pytest.mark.parametrize("make", PLACES)
def test_a_tensor_is_found_wherever_a_model_holds_it(make: Callable[[], ModelProto]) -> None:
    plain = make().SerializeToString()
    found = [(one.data_type, one.dims, plain[one.offset : one.end]) for one in find_tensors(memoryview(plain)).fixed]
    values = WEIGHTS[0] if "sparse" in make.__name__ else WEIGHTS
    assert (TensorProto.FLOAT, values.shape, values.tobytes()) in found


def test_packed_integers_are_found_as_bytes() -> None:
    int4 = helper.make_tensor("weight", TensorProto.INT4, (5, 7), bytes(range(18)), raw=True)
    plain = helper.make_model(graph(int4)).SerializeToString()
    (found,) = find_tensors(memoryview(plain)).fixed
    assert (found.data_type, found.dims, found.items) == (TensorProto.INT4, (5, 7), 18)
    assert plain[found.offset : found.end] == bytes(range(18))


def test_typed_integers_are_found_as_varints() -> None:
    values = [3, -1, 300]
    plain = helper.make_model(graph(helper.make_tensor("weight", TensorProto.INT16, (3,), values))).SerializeToString()
    found = find_tensors(memoryview(plain))
    assert not found.fixed
    (only,) = found.varints
    assert plain[only.offset : only.end] == b"\x03" + b"\xff" * 9 + b"\x01" + b"\xac\x02"


def test_lists_that_are_not_packed_are_left_as_bytes(round_trip: RoundTrip) -> None:
    """Each float behind a tag of its own, as old writers did: allowed, and no array."""
    body = b"\x08\x30\x10\x01" + b"".join(b"\x25" + value.tobytes() for value in WEIGHTS.ravel()) + b"\x42\x01w"
    initializer = b"\x2a" + _size(body) + body
    plain = b"\x08\x08\x3a" + _size(initializer) + initializer
    assert len(ModelProto.FromString(plain).graph.initializer[0].float_data) == WEIGHTS.size
    assert not find_tensors(memoryview(plain)).fixed
    round_trip(helper.make_model(graph(tensor())).SerializeToString(), plain)


def _size(body: bytes) -> bytes:
    return bytes([len(body) & 0x7F | 0x80, len(body) >> 7])


def safetensors(header: Any, values: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + values


def entry(dtype: str, shape: list[Any], begin: Any, end: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_safetensors_are_found_where_the_format_says() -> None:
    size = WEIGHTS.nbytes
    header = {
        "b": entry("F32", [6, 8], size, 2 * size),
        "__metadata__": {"format": "pt"},
        "a": entry("BF16", [2, 48], 0, size),
    }
    plain = safetensors(header, OTHERS.tobytes() + WEIGHTS.tobytes())
    first, second = find_tensors(memoryview(plain)).fixed
    assert (first.name, first.data_type, first.dims) == ("a", TensorProto.BFLOAT16, (2, 48))
    assert (second.name, second.data_type, second.dims) == ("b", TensorProto.FLOAT, (6, 8))
    assert plain[first.offset : first.end] == OTHERS.tobytes()
    assert plain[second.offset : second.end] == WEIGHTS.tobytes()


@pytest.mark.parametrize(
    "header",
    [
        b"{}",
        b'{"a": 1',
        b"\xff\xfe{}",
        {"a": 1},
        {"a": entry("F32", [6, 8], 0, 1)},
        {"a": entry("F99", [6, 8], 0, 192)},
        {"a": entry("F32", [6, "8"], 0, 192)},
        {"a": entry("F32", [-6, -8], 0, 192)},
        {"a": entry("F32", [48], 1, 193)},
        {"a": entry("F32", [48], 0.0, 192)},
        {"a": entry("F32", [0], 0, 0)},
    ],
)
def test_a_header_that_lies_gives_no_tensors(header: Any) -> None:
    assert not find_tensors(memoryview(safetensors(header, WEIGHTS.tobytes()))).fixed


@pytest.mark.parametrize("plain", [b"", b"{", b"\x00" * 8 + b"{}", b"\xff" * 8 + b"{}", b"\x02" + b"\x00" * 7 + b"[]"])
def test_what_is_no_container_has_no_tensors(plain: bytes) -> None:
    found = find_tensors(memoryview(plain))
    assert not found.fixed
    assert not found.varints
