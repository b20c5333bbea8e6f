"""The coder of items in context: everything comes back, and at the size that the distributions promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from delta.arrays import ITEM_TYPES, Items, octets
from delta.effort import Effort
from delta.encoder.coded import CodedWriter
from delta.encoder.distributions import distribute
from delta.encoder.effort import SETTINGS
from delta.entropy import bits, rans, tables
from delta.entropy.stream import CodedItems
from delta.entropy.symbols import MAX_SYMBOLS, Mapping, Numbers, SymbolMap, split_of
from delta.errors import PatchMalformed
from delta.spans import Contexts


class Bytes:
    """Coded bytes in memory, read as a section of a patch is."""

    def __init__(self, coded: bytes) -> None:
        self._coded = coded
        self.left = len(coded)

    def read_exactly(self, size: int) -> bytes:
        if size > self.left:
            raise PatchMalformed("cut short")
        taken, self._coded = self._coded[:size], self._coded[size:]
        self.left -= size
        return taken

    def part(self, skipped: int, size: int) -> "Bytes":
        return Bytes(self._coded[skipped : skipped + size])


def coded(items: Items, mapping: Mapping, contexts: Contexts) -> tuple[bytes, int]:
    """The stream's bytes and its slots."""
    writer = CodedWriter(ITEM_TYPES.index(items.dtype), mapping, SETTINGS[Effort.MAX])
    writer.first_context("all", int(contexts.max()) + 1)
    writer.add(items, contexts)
    entry, body = writer.finish()
    return b"".join(body), entry.block_items


def round_trip(items: Items, mapping: Mapping, contexts: Contexts, pieces: list[int]) -> int:
    """Draw all items in pieces of these sizes; the size of the stream."""
    body, slots = coded(items, mapping, contexts)
    stream = CodedItems(Bytes(body), items.dtype, slots)
    at = 0
    for piece in (*pieces, items.size):
        drawn = stream.take(contexts[at : at + piece])
        assert octets(drawn).tobytes() == octets(items[at : at + piece]).tobytes()
        at += drawn.size
    assert at == items.size
    assert stream.exhausted
    return len(body)


@given(
    st.one_of(*(arrays.arrays(np.dtype(kind), st.integers(1, 300)) for kind in ("<i1", "<i2", "<i4"))),
    st.lists(st.integers(0, 90), max_size=5),
)
def test_signed_items_come_back_in_pieces_of_any_size(items: Items, pieces: list[int]) -> None:
    contexts = np.random.default_rng(items.size).integers(0, 7, items.size).astype(np.uint16)
    round_trip(items, Mapping.TOKENS, contexts, pieces)


@given(arrays.arrays(np.dtype("<u4"), st.integers(1, 300)), st.integers(0, 20))
def test_floats_of_any_pattern_come_back(patterns: Items, mantissa_bits: int) -> None:
    items = patterns.view("<f4")
    mapped = split_of(items, min(mantissa_bits, 3))
    symbols, raw, widths = mapped.split(items)
    assert (mapped.raw_bits()[symbols] == widths).all()
    assert mapped.join(symbols, raw, mapped.least()[symbols]).tobytes() == items.tobytes()


@pytest.mark.parametrize("kind", ["<i1", "<i2", "<i4"])
def test_every_token_begins_where_the_last_one_ends(kind: str) -> None:
    bounds = np.iinfo(kind)
    near = np.unique(np.clip(np.concatenate([[0, 1], *(2**k + np.arange(-3, 4) for k in range(32))]), 0, bounds.max))
    items = np.concatenate((near, -near, [bounds.min])).astype(kind)
    mapped = SymbolMap(Mapping.TOKENS, items.dtype)
    symbols, raw, _ = mapped.split(items)
    assert symbols.max() < MAX_SYMBOLS
    assert mapped.join(symbols, raw, mapped.least()[symbols]).tobytes() == items.tobytes()


def test_a_stream_takes_its_entropy_and_little_more() -> None:
    numbers = np.random.default_rng(1)
    contexts = numbers.integers(0, 8, 200_000).astype(np.uint16)
    items = np.rint(numbers.normal(0, 1.5 ** contexts.astype(float))).astype("<i2")
    entropy_bits = 0.0
    for context in range(8):
        counts = np.unique(items[contexts == context], return_counts=True)[1]
        entropy_bits -= float((counts * np.log2(counts / counts.sum())).sum())
    size = round_trip(items, Mapping.TOKENS, contexts, [1, 2, 100_000])
    assert size < 1.01 * entropy_bits / 8


def test_contexts_that_are_alike_share_a_table_and_others_do_not() -> None:
    numbers = np.random.default_rng(2)
    contexts = np.repeat(np.arange(6), 5000)
    symbols = np.where(contexts % 2, numbers.integers(0, 4, contexts.size), numbers.integers(20, 24, contexts.size))
    shared = distribute(symbols, contexts.astype(np.uint16), 6)
    assert len(shared.counts) == 2
    assert len({int(table) for table in shared.table_of_context[::2]}) == 1
    assert shared.table_of_context[0] != shared.table_of_context[1]


@given(arrays.arrays(np.int64, st.integers(1, 400), elements=st.integers(0, 10**9)).filter(np.any), st.integers(9, 14))
def test_frequencies_add_up_and_leave_no_symbol_out(counts: Numbers, precision: int) -> None:
    frequencies = tables.frequencies(tables.levels_of(counts), precision)
    assert int(frequencies.sum()) == 1 << precision
    assert ((frequencies > 0) == (counts > 0)).all()


@given(st.lists(st.tuples(st.integers(0, 32), st.integers(0, 2**32 - 1)), min_size=1, max_size=200))
def test_bit_fields_come_back(fields: list[tuple[int, int]]) -> None:
    widths = np.array([width for width, _ in fields], np.int64)
    values = np.array([value & ((1 << width) - 1) for width, value in fields], np.int64)
    reader = bits.BitReader(Bytes(bits.pack(values, widths)))
    middle = widths.size // 2
    assert reader.take(widths[:middle]).tolist() == values[:middle].tolist()
    assert reader.take(widths[middle:]).tolist() == values[middle:].tolist()
    assert reader.exhausted


@pytest.mark.parametrize("lanes", [1, 2, 64])
def test_lanes_only_cost_their_states(lanes: int) -> None:
    numbers = np.random.default_rng(3)
    symbols = numbers.integers(0, 3, 3000)
    frequencies = tables.frequencies(tables.levels_of(np.bincount(symbols)), 12)
    firsts = np.cumsum(frequencies) - frequencies
    states, words = rans.encode(frequencies[symbols], firsts[symbols], 12, lanes)
    decoder = rans.Decoder(rans.slots_of(frequencies), 12, states, Bytes(words))
    assert decoder.take(np.zeros(symbols.size, np.int64)).tolist() == symbols.tolist()
    assert decoder.exhausted
    assert len(words) < 3000 * np.log2(3) / 8 + 2 * lanes


def test_items_in_a_context_without_a_table_are_refused() -> None:
    items = np.arange(50, dtype="<i2")
    body, slots = coded(items, Mapping.TOKENS, np.zeros(50, np.uint16))
    with pytest.raises(PatchMalformed, match="context"):
        CodedItems(Bytes(body), items.dtype, slots).take(np.full(50, 1, np.uint16))


def test_words_that_are_cut_are_refused() -> None:
    items = np.random.default_rng(4).integers(-500, 500, 4000).astype("<i2")
    body, slots = coded(items, Mapping.TOKENS, np.zeros(items.size, np.uint16))
    with pytest.raises(PatchMalformed):
        CodedItems(Bytes(body[:-1]), items.dtype, slots)
