"""Any two small ONNX files, well-formed or damaged: the patch restores the second from the first."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper

from delta.encoder import Effort
from delta.encoder.containers import find_tensors
from tests.properties.delta_round_trip import round_trip

WIDTHS = {
    TensorProto.FLOAT: 4, TensorProto.FLOAT16: 2, TensorProto.BFLOAT16: 2, TensorProto.DOUBLE: 8, TensorProto.INT8: 1,
    TensorProto.UINT8: 1, TensorProto.INT16: 2, TensorProto.INT32: 4, TensorProto.INT64: 8, TensorProto.BOOL: 1,
    TensorProto.UINT64: 8,
}  # fmt: skip
efforts = st.sampled_from(list(Effort))
NAMES = ["w", "w_quantized", "w_scale", "w_zero_point", "b", ""]


@st.composite
def tensors(draw: st.DrawFn) -> TensorProto:
    """Few distinct seeds, so that two models often share content, names or neither."""
    name = draw(st.sampled_from(NAMES))
    kind = draw(st.sampled_from(sorted(WIDTHS)))
    dims = draw(st.lists(st.integers(0, 12), max_size=3))
    count = int(np.prod(dims, dtype=np.int64))
    raw = np.random.default_rng(draw(st.integers(0, 3))).bytes(count * WIDTHS[kind])
    if kind == TensorProto.FLOAT and draw(st.booleans()):
        values = np.nan_to_num(np.frombuffer(raw, "<f4")).tolist()
        return helper.make_tensor(name, kind, dims, values)
    return helper.make_tensor(name, kind, dims, raw, raw=True)


@st.composite
def models(draw: st.DrawFn) -> bytes:
    """Initializers, Constant nodes, and one level of subgraph."""
    inner = helper.make_graph([], "inner", [], [], draw(st.lists(tensors(), max_size=2)))
    nodes = [helper.make_node("Constant", [], [t.name or "c"], value=t) for t in draw(st.lists(tensors(), max_size=2))]
    nodes.append(helper.make_node("If", ["p"], ["o"], then_branch=inner))
    graph = helper.make_graph(nodes, "g", [], [], draw(st.lists(tensors(), max_size=4)))
    return bytes(helper.make_model(graph).SerializeToString())


@settings(deadline=None, max_examples=120)
@given(base=models(), new=models(), effort=efforts)
def test_any_models_come_back(base: bytes, new: bytes, effort: Effort) -> None:
    round_trip(base, new, effort)


@settings(deadline=None, max_examples=80)
@given(base=models(), at=st.floats(0, 1, exclude_max=True), junk=st.binary(max_size=9), cut=st.integers(0, 9))
def test_damaged_models_come_back(base: bytes, at: float, junk: bytes, cut: int) -> None:
    start = int(at * len(base))
    damaged = base[:start] + junk + base[start + cut :]
    round_trip(base, damaged, Effort.FAST)
    round_trip(damaged, base, Effort.FAST)


@settings(deadline=None, max_examples=120)
@given(plain=models())
def test_found_tensors_stand_where_onnx_says(plain: bytes) -> None:
    """Every tensor with raw bytes is found, under its offset its own bytes."""
    model = ModelProto.FromString(plain)
    expected = [t for t in model.graph.initializer if t.raw_data]
    for node in model.graph.node:
        for attribute in node.attribute:
            expected += [attribute.t] if attribute.t.raw_data else []
            expected += [t for t in attribute.g.initializer if t.raw_data]
    found = find_tensors(memoryview(plain)).fixed
    contents = sorted(plain[tensor.offset : tensor.end] for tensor in found)
    floats = [np.array(t.float_data, "<f4").tobytes() for t in _typed(model) if t.float_data]
    assert contents == sorted([t.raw_data for t in expected] + floats)
    assert all(one.end <= other.offset for one, other in pairwise(found))


def _typed(model: ModelProto) -> list[TensorProto]:
    attributes = [attribute for node in model.graph.node for attribute in node.attribute]
    inner = [t for attribute in attributes for t in attribute.g.initializer]
    return [*model.graph.initializer, *(attribute.t for attribute in attributes), *inner]


@settings(deadline=None, max_examples=300)
@given(plain=st.binary(max_size=300))
def test_the_tensor_finder_takes_any_bytes(plain: bytes) -> None:
    for tensor in find_tensors(memoryview(plain)).fixed:
        assert 0 <= tensor.offset < tensor.end <= len(plain)
