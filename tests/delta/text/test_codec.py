"""The text coder: exact on anything, small on graphs, typed on damage."""

import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delta.coders import zstd
from delta.encoder.containers import find_tensors
from delta.errors import PatchMalformed
from delta.text.codec import MAX_PRIMER_BYTES, MAX_TEXT_BYTES, decode, encode

_DEMO = Path(__file__).parents[3] / "client/demo_data"


def _graph(name: str) -> bytes:
    """A model without its tensors."""
    model = np.fromfile(_DEMO / name, np.uint8)
    kept = np.ones(model.size, np.bool_)
    for tensor in find_tensors(model.data).fixed:
        if tensor.size >= 128:
            kept[tensor.offset : tensor.end] = False
    return model[kept].tobytes()


@settings(max_examples=50, deadline=None)
@given(st.binary(min_size=1, max_size=300), st.binary(max_size=300))
def test_any_bytes_after_any_primer_come_back(text: bytes, primer: bytes) -> None:
    assert decode(encode(text, primer), len(text), primer) == text


@pytest.mark.parametrize("length", [1, 95, 97, 5000, MAX_TEXT_BYTES])
def test_a_repeated_byte_takes_few_bytes(length: int) -> None:
    coded = encode(b"a" * length)
    assert decode(coded, length) == b"a" * length
    assert len(coded) < 16


def test_a_repeat_that_reaches_into_itself_comes_back() -> None:
    text = b"0123456789abcdef" * 200 + b"end"
    assert decode(encode(text), len(text)) == text


def test_the_primer_itself_takes_few_bytes() -> None:
    primer = np.random.default_rng(1).bytes(20_000)
    coded = encode(primer[3000:9000], primer)
    assert decode(coded, 6000, primer) == primer[3000:9000]
    assert len(coded) < 100


def test_noise_hardly_grows() -> None:
    noise = np.random.default_rng(2).bytes(4000)
    assert len(encode(noise)) < 4100


def test_a_graph_takes_two_thirds_of_zstd_and_less_after_one_like_it() -> None:
    base, new = _graph("digits-1.0.0-fp32.onnx"), _graph("digits-1.0.0-int8.onnx")[:12_000]
    alone, primed = encode(new), encode(new, base)
    assert decode(primed, len(new), base) == new
    assert len(alone) < 0.67 * len(zstd.compress(new, level=19))
    assert len(primed) < 0.75 * len(alone)


def test_the_same_text_always_gives_the_same_bytes() -> None:
    text = _graph("digits-1.0.0-fp32.onnx")[:3000]
    assert zlib.crc32(encode(text[500:], text[:500])) == PINNED


PINNED = 2002630935
"""What one processor gave, and every other must: patches are made elsewhere than they are applied."""


@pytest.mark.parametrize(("size", "primer"), [(0, 0), (MAX_TEXT_BYTES + 1, 0), (1, MAX_PRIMER_BYTES + 1)])
def test_sizes_out_of_bounds_are_refused_before_any_work(size: int, primer: int) -> None:
    with pytest.raises(PatchMalformed, match="more than allowed"):
        decode(b"\x00", size, bytes(primer))


def test_bytes_cut_off_are_refused() -> None:
    coded = encode(b"some text that is long enough to be cut")
    with pytest.raises(PatchMalformed, match="ends before"):
        decode(coded[: len(coded) // 2], 39)


def test_bytes_left_over_are_refused() -> None:
    with pytest.raises(PatchMalformed, match="left over"):
        decode(encode(b"some text") + b"\x00", 9)


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=1, max_size=60), st.integers(1, 400), st.binary(max_size=100))
def test_hostile_bytes_give_text_or_the_typed_error(coded: bytes, size: int, primer: bytes) -> None:
    try:
        text = decode(coded, size, primer)
    except PatchMalformed:
        return
    assert len(text) == size
