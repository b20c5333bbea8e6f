"""A stream of items coded in context: header, tables, states, words, raw bits; see `docs/formats.md`.

Whoever draws says the context of every item; the encoder knew the same contexts, because they follow from bytes that
the decoder has before it draws.
"""

import struct
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from delta.arrays import Items
from delta.entropy import rans, tables
from delta.entropy.bits import BitReader, ByteSource
from delta.entropy.symbols import MAX_SYMBOLS, Mapping, SymbolMap
from delta.errors import PatchMalformed
from delta.spans import Contexts

HEADER = struct.Struct("<BBBBIHBxIII")
"""Mapping, shift, precision, lanes as a power of two; lowest prefix; contexts, tables; bytes of tables, words, bits."""
_BATCH_ITEMS = 1 << 14
_KEPT_BYTES = 8 * (2 * MAX_SYMBOLS + (1 << 16) + rans.MAX_LANES) + (1 << 17)
"""The maps of symbols, the first slot of each context, the states, and the words and bits read ahead."""
MAX_TABLES_BYTES = 1 << 20


class Section(ByteSource, Protocol):
    """A byte range of the patch, of which later parts can be read at the same time."""

    def part(self, skipped: int, size: int) -> Self: ...


@dataclass(frozen=True, slots=True)
class CodedHeader:
    """What stands before the tables."""

    symbols: SymbolMap
    precision: int
    lanes: int
    contexts: int
    tables: int
    tables_bytes: int
    words_bytes: int
    bits_bytes: int

    def serialise(self) -> bytes:
        """The header's bytes."""
        return HEADER.pack(
            self.symbols.mapping,
            self.symbols.shift,
            self.precision,
            self.lanes.bit_length() - 1,
            self.symbols.lowest,
            self.contexts,
            self.tables,
            self.tables_bytes,
            self.words_bytes,
            self.bits_bytes,
        )

    @property
    def coded_bytes(self) -> int:
        return HEADER.size + self.tables_bytes + 4 * self.lanes + self.words_bytes + self.bits_bytes


def parse_header(section: Section, item: np.dtype[np.generic]) -> CodedHeader:
    """Read and check the header of a stream of `item`s whose bytes are all of `section`."""
    coded_bytes = section.left
    mapping, shift, precision, log_lanes, lowest, contexts, count, *sizes = HEADER.unpack(
        section.read_exactly(HEADER.size)
    )
    if mapping not in list(Mapping):
        raise PatchMalformed(f"a coded stream has the unknown mapping {mapping}")
    symbols = SymbolMap(Mapping(mapping), item, shift, lowest)
    symbols.check()
    if not 8 <= precision <= rans.MAX_PRECISION or 1 << log_lanes > rans.MAX_LANES:
        raise PatchMalformed("a coded stream has a precision or lanes out of bounds")
    if not count or not contexts or count << precision > rans.MAX_SLOTS:
        raise PatchMalformed("a coded stream has no tables or too many")
    header = CodedHeader(symbols, precision, 1 << log_lanes, contexts, count, *sizes)
    if header.coded_bytes != coded_bytes or header.tables_bytes > MAX_TABLES_BYTES:
        raise PatchMalformed("the parts of a coded stream do not add up")
    return header


class CodedItems:
    """The items of one coded stream, in order."""

    def __init__(self, section: Section, item: np.dtype[np.generic], slots_declared: int) -> None:
        """`section` is all of the stream.

        Raises:
            PatchMalformed: header or tables make no sense, or have other than the declared number of slots.
        """
        header = parse_header(section, item)
        if header.tables << header.precision != slots_declared:
            raise PatchMalformed("a coded stream has another number of slots than it declares")
        levels, table_of_context = tables.parse(
            section.read_exactly(header.tables_bytes), header.tables, header.contexts
        )
        states = np.frombuffer(section.read_exactly(4 * header.lanes), "<u4").astype(np.int64)
        if (states < rans.LOW).any():
            raise PatchMalformed("a coded stream begins with a state out of bounds")
        slots = np.empty(slots_declared, np.int64)
        for one, own in zip(levels, slots.reshape(header.tables, -1), strict=True):
            own[:] = rans.slots_of(tables.frequencies(one, header.precision))
        self._symbols = header.symbols
        self._raw_bits = header.symbols.raw_bits()
        self._least = header.symbols.least()
        self._starts = table_of_context.astype(np.int64) << header.precision
        self._decoder = rans.Decoder(slots, header.precision, states, section.part(0, header.words_bytes))
        self._bits = BitReader(section.part(header.words_bytes, header.bits_bytes))

    def take(self, contexts: Contexts) -> Items:
        """The next items, one for each context.

        Raises:
            PatchMalformed: a context without a table, or coded bytes that end before.
        """
        if contexts.size and int(contexts.max()) >= self._starts.size:
            raise PatchMalformed("an item of a coded stream has a context without a table")
        items = np.empty(contexts.size, self._symbols.item)
        for at in range(0, contexts.size, _BATCH_ITEMS):
            batch = contexts[at : at + _BATCH_ITEMS]
            symbols = self._decoder.take(self._starts.take(batch))
            raw = self._bits.take(self._raw_bits.take(symbols, mode="clip"))
            least = self._least.take(symbols, mode="clip")
            items[at : at + batch.size] = self._symbols.join(symbols, raw, least)
        return items

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left over."""
        return self._decoder.exhausted and self._bits.exhausted


def buffer_bytes(slots: int) -> int:
    """What a stream with so many slots keeps in memory between draws."""
    return 8 * slots + _KEPT_BYTES
