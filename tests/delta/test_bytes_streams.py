"""Streams of plain bytes: lzma, and texts after ranges of the base, whole, in pieces and damaged."""

from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delta.arrays import Octets
from delta.coders import lzma_raw
from delta.errors import PatchMalformed
from delta.limits import Deadline
from delta.streams import LZMA, TEXT, Stream, StreamEntry, open_streams
from delta.text import primed
from delta.text.codec import MAX_TEXT_BYTES

_BASE = np.arange(5000, dtype=np.uint32).view(np.uint8)


def _read_base(offset: int, length: int) -> Octets:
    if offset + length > _BASE.size:
        raise PatchMalformed("outside the base")
    return _BASE[offset : offset + length]


@contextmanager
def _opened(coded: bytes, *entries: StreamEntry) -> Iterator[list[Stream]]:
    with TemporaryFile() as file:
        file.write(coded)
        file.flush()
        yield open_streams(file.fileno(), 0, entries, Deadline(60), _read_base)


def _lzma(plain: bytes, coded: bytes) -> StreamEntry:
    return StreamEntry(LZMA, 0, len(plain), len(coded), lzma_raw.history_bytes(len(plain)))


@given(st.binary(min_size=1, max_size=2000), st.sampled_from((0, 2)), st.integers(1, 700))
def test_lzma_comes_back_in_pieces(plain: bytes, position_bits: int, step: int) -> None:
    coded = lzma_raw.compress(plain, position_bits=position_bits)
    with _opened(coded, _lzma(plain, coded)) as (stream,):
        pieces = [stream.draw(min(step, len(plain) - at)) for at in range(0, len(plain), step)]
        assert b"".join(piece.tobytes() for piece in pieces) == plain
        assert stream.exhausted


@pytest.mark.parametrize(
    ("coded", "history"),
    [(b"\x05abc", 4096), (b"\x50abc", 4096), (b"\x24abc", 100), (b"\x24abc", 1 << 24), (b"\x24abc", 4096), (b"", 4096)],
)
def test_damaged_lzma_is_refused(coded: bytes, history: int) -> None:
    with _opened(coded, StreamEntry(LZMA, 0, 10, len(coded), history)) as (stream,), pytest.raises(PatchMalformed):
        stream.draw(10)


def test_lzma_that_holds_more_than_it_says_is_not_exhausted() -> None:
    coded = lzma_raw.compress(b"some bytes", position_bits=0)
    with _opened(coded, StreamEntry(LZMA, 0, 9, len(coded), 4096)) as (stream,):
        stream.draw(9)
        assert not stream.exhausted


def test_lzma_with_bytes_after_its_end_is_not_exhausted() -> None:
    coded = lzma_raw.compress(b"some bytes", position_bits=0) + b"\x00"
    with _opened(coded, StreamEntry(LZMA, 0, 10, len(coded), 4096)) as (stream,):
        stream.draw(10)
        assert not stream.exhausted


def test_a_text_comes_back_after_the_ranges_of_the_base() -> None:
    ranges = [(100, 400), (1000, 2000)]
    text = _BASE[1200:2900].tobytes() + b"and more"
    coded = primed.write(text, ranges, b"".join(_read_base(*one).tobytes() for one in ranges))
    with _opened(coded, StreamEntry(TEXT, 0, len(text), len(coded), 2400)) as (stream,):
        assert stream.draw(1000).tobytes() + stream.draw(len(text) - 1000).tobytes() == text
        assert stream.exhausted
        assert len(coded) < 60


@pytest.mark.parametrize(
    ("coded", "primer_bytes"),
    [
        (b"", 0),
        (b"\x00\x00", 0),
        (b"\x00\x00\x01\x02\x03", 1),
        (b"\x01\x00\x05\x01\x02\x03", 0),
        (b"\x02\x00\x05\x07\x01\x02\x03", 6),
        (b"\x04\x00\x05\xa0\x9c\x01\x01\x02\x03", 20_000),
        (b"\xff\xff\x05\x07\x01\x02\x03", 7),
        (bytes(2) + bytes(5000), 0),
    ],
)
def test_damaged_text_is_refused(coded: bytes, primer_bytes: int) -> None:
    with _opened(coded, StreamEntry(TEXT, 0, 50, len(coded), primer_bytes)) as (stream,), pytest.raises(PatchMalformed):
        stream.draw(50)


def test_more_text_than_allowed_is_refused_before_any_is_decoded() -> None:
    entry = StreamEntry(TEXT, 0, MAX_TEXT_BYTES // 2 + 1, 0, 0)
    with pytest.raises(PatchMalformed, match="of text"), _opened(b"", entry, entry):
        pass
