"""Integers as varints: the bytes that protobuf writes, and what a patch may not ask for."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto

from delta import decoder, varints
from delta.arrays import ITEM_NAMES, ITEM_TYPES
from delta.coders import zstd
from delta.errors import PatchMalformed
from delta.format import Header, Identity, serialise_index
from delta.predictors.varints import Varints
from delta.spans import Span
from delta.versions import FORMAT_VERSION

BASE = np.arange(-40_000, 40_000, 2, dtype="<i4").tobytes()
INT32 = ITEM_NAMES.index("i4")


@pytest.mark.parametrize(
    ("kind", "written"), [("<i1", "int32_data"), ("<i4", "int32_data"), ("<i8", "int64_data"), ("<u8", "uint64_data")]
)
@given(data=st.data())
def test_items_are_written_as_protobuf_does(kind: str, written: str, data: st.DataObject) -> None:
    bounds = np.iinfo(kind)
    values = data.draw(st.lists(st.integers(bounds.min, bounds.max), min_size=1))
    proto = TensorProto()
    getattr(proto, written).extend(values)
    items = np.array(values, kind)
    coded = varints.from_items(items)
    assert proto.SerializeToString().endswith(coded.tobytes())
    assert np.array_equal(varints.to_items(coded, items.dtype), items)


@given(st.binary(max_size=40))
def test_any_bytes_are_integers_or_malformed(plain: bytes) -> None:
    coded = np.frombuffer(plain, np.uint8)
    try:
        items = varints.to_items(coded, np.dtype("<u8"))
    except PatchMalformed:
        return
    assert items.size == sum(byte < 0x80 for byte in plain)


def apply(folder: Path, span: Span, restored: bytes) -> bytes:
    """Apply a patch of one span that promises `restored`."""
    index = serialise_index([], [], [], [span])
    coded = zstd.compress(index, level=3)
    header = Header(
        version=FORMAT_VERSION,
        base=Identity(hashlib.sha256(BASE).hexdigest(), len(BASE)),
        target=Identity(hashlib.sha256(restored).hexdigest(), span.length),
        window_bytes=4096,
        table_bytes=0,
        streams=0,
        spans=1,
        index_bytes=len(index),
        coded_index_bytes=len(coded),
    )
    (folder / "base").write_bytes(BASE)
    (folder / "patch").write_bytes(header.serialise() + coded)
    decoder.apply(folder / "base", folder / "patch", folder / "out")
    return (folder / "out").read_bytes()


def test_a_span_of_many_pieces_is_restored(tmp_path: Path) -> None:
    expected = varints.from_items(np.frombuffer(BASE, "<i4")).tobytes()
    span = Span(Varints.number, len(expected), (0, INT32, len(BASE) // 4))
    assert apply(tmp_path, span, expected) == expected


@pytest.mark.parametrize(
    "operands",
    [
        pytest.param((0, INT32, 3), id="fewer items than the span has bytes for"),
        pytest.param((0, INT32, 1 << 40), id="more items than the base has"),
        pytest.param((1 << 40, INT32, 10), id="outside the base"),
        pytest.param((0, ITEM_NAMES.index("f4"), 100), id="floats"),
        pytest.param((0, len(ITEM_TYPES), 100), id="an unknown type"),
    ],
)
def test_a_span_that_makes_no_sense_is_malformed(tmp_path: Path, operands: tuple[int, ...]) -> None:
    with pytest.raises(PatchMalformed):
        apply(tmp_path, Span(Varints.number, 400_000, operands), b"")
    assert not (tmp_path / "out").exists()
