"""Writing a stream of items in context: the counterpart of `delta.entropy.stream`."""

from collections.abc import Iterator

import numpy as np

from delta.arrays import Items
from delta.encoder.distributions import Distributions, distribute
from delta.encoder.effort import Settings
from delta.entropy import bits, rans, tables
from delta.entropy.stream import CodedHeader
from delta.entropy.symbols import Mapping, SymbolMap, split_of
from delta.spans import Contexts
from delta.streams import CODED, StreamEntry

_BYTES_PER_LANE = 3072
"""A lane costs about three bytes more than its items need, and fewer lanes cost time: a thousandth of the stream."""
_SPLIT_MANTISSA_BITS = 3
_MAX_CONTEXTS = 4096
_SAMPLE_ITEMS = 1 << 17
"""What a choice between ways looks at: every n-th item of a larger tensor."""


def symbol_map(mapping: Mapping, items: Items) -> SymbolMap:
    """The mapping with parameters for just these items."""
    if mapping == Mapping.SPLIT:
        return split_of(items, _SPLIT_MANTISSA_BITS)
    return SymbolMap(mapping, items.dtype)


def coded_bits(mapping: Mapping, items: Items, contexts: Contexts) -> float:
    """About how many bits these items take in a stream, their share of its tables included; of many, a sample's."""
    stride = max(items.size // _SAMPLE_ITEMS, 1) | 1  # odd, or columns of a matrix would be left out
    items, contexts, total = items[::stride], contexts[::stride], items.size
    symbols, _, widths = symbol_map(mapping, items).split(items)
    shared = distribute(symbols, contexts, int(contexts.max()) + 1)
    return (shared.bits - shared.table_bits + float(widths.sum())) * total / items.size + shared.table_bits


class CodedWriter:
    """Items with contexts, coded all together in the end, when all their distributions are known."""

    def __init__(self, item: int, mapping: Mapping, settings: Settings) -> None:
        self._item = item
        self._mapping = mapping
        self._settings = settings
        self._items: list[Items] = []
        self._contexts: list[Contexts] = []
        self._firsts: dict[str, int] = {}
        self._context_count = 0

    def has_room(self, group: str, count: int) -> bool:
        """Whether the stream has a group, or may take it: more contexts would take more time than they save bytes."""
        return group in self._firsts or self._context_count + count <= _MAX_CONTEXTS

    def first_context(self, group: str, count: int) -> int:
        """Where the contexts of a group begin; all members of a group have the same `count`."""
        if group not in self._firsts:
            self._firsts[group] = self._context_count
            self._context_count += count
        return self._firsts[group]

    def add(self, items: Items, contexts: Contexts) -> None:
        """Append items."""
        self._items.append(items)
        self._contexts.append(contexts)

    def finish(self) -> tuple[StreamEntry, Iterator[bytes]]:
        """The stream's entry for the index, and its bytes."""
        items, contexts = np.concatenate(self._items), np.concatenate(self._contexts)
        mapped = symbol_map(self._mapping, items)
        symbols, raw, widths = mapped.split(items)
        shared = distribute(symbols, contexts, self._context_count)
        precision = _precision(len(shared.counts))
        levels = [tables.levels_of(counts) for counts in shared.counts]
        tables_coded = tables.serialise(levels, shared.table_of_context, self._settings.zstd_level)
        lanes = _lanes(shared)
        frequencies = np.zeros((len(levels), max(one.size for one in levels)), np.int64)
        for row, one in enumerate(levels):
            frequencies[row, : one.size] = tables.frequencies(one, precision)
        firsts = np.cumsum(frequencies, axis=1) - frequencies
        rows = shared.table_of_context[contexts]
        states, words = rans.encode(frequencies[rows, symbols], firsts[rows, symbols], precision, lanes)
        bits_coded = bits.pack(raw, widths)
        header = CodedHeader(
            symbols=mapped,
            precision=precision,
            lanes=lanes,
            contexts=self._context_count,
            tables=len(levels),
            tables_bytes=len(tables_coded),
            words_bytes=len(words),
            bits_bytes=len(bits_coded),
        )
        parts = (header.serialise(), tables_coded, states.astype("<u4").tobytes(), words, bits_coded)
        slots = len(levels) << precision
        return StreamEntry(CODED, self._item, items.size, header.coded_bytes, slots), iter(parts)


def _precision(table_count: int) -> int:
    """As precise as 2^18 slots allow."""
    return min(rans.MAX_PRECISION, 18 - (table_count - 1).bit_length())


def _lanes(shared: Distributions) -> int:
    wanted = int(shared.bits / 8 / _BYTES_PER_LANE)
    return int(1 << min(max(wanted, 1).bit_length(), rans.MAX_LANES.bit_length() - 1))
