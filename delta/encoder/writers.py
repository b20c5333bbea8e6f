"""Writing streams: items in, the smallest coding of each block out."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from delta.arrays import ITEM_TYPES, Items, Octets
from delta.coders import CODERS, lzma_raw, pco, stored, zstd
from delta.encoder.effort import Settings
from delta.encoder.primer import NO_PRIMER, Primer
from delta.streams import BLOCK_HEADER, BLOCKS, FRAME, LZMA, STORED, TEXT, StreamEntry
from delta.text import codec, primed

BLOCK_ITEMS = pco.MAX_ITEMS
WINDOW_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Block:
    """One coded block."""

    coder: int
    items: int
    coded: bytes

    @property
    def size(self) -> int:
        return BLOCK_HEADER.size + len(self.coded)


def code_block(items: Items, settings: Settings) -> Block:
    """The smallest coding of `items`; the lower coder number where two are equal."""
    best = Block(stored.NUMBER, items.size, items.tobytes())
    for coder in CODERS.values():
        if coder.NAME not in settings.levels:
            continue
        coded = coder.encode(items, level=settings.levels[coder.NAME])
        if coded is not None and len(coded) < len(best.coded):
            best = Block(coder.NUMBER, items.size, coded)
    return best


def code_blocks(items: Items, settings: Settings) -> list[Block]:
    """`items` in blocks that the decoder's window holds."""
    step = min(BLOCK_ITEMS, WINDOW_BYTES // items.dtype.itemsize)
    return [code_block(items[start : start + step], settings) for start in range(0, items.size, step)]


class BlockWriter:
    """A stream of blocks. Tensors of some size have blocks of their own, small ones share theirs."""

    def __init__(self, item: int, settings: Settings) -> None:
        self._item = item
        self._settings = settings
        self._blocks: list[Block] = []
        self._shared: list[Items] = []

    def add_blocks(self, blocks: list[Block]) -> None:
        """Append items that are coded already."""
        self._flush()
        self._blocks += blocks

    def add_shared(self, items: Items) -> None:
        """Append items that share a block with their neighbours in the stream."""
        self._shared.append(items)

    def finish(self) -> tuple[StreamEntry, Iterator[bytes]]:
        """The stream's entry for the index, and its bytes."""
        self._flush()
        entry = StreamEntry(
            kind=BLOCKS,
            item=self._item,
            items=sum(block.items for block in self._blocks),
            coded_bytes=sum(block.size for block in self._blocks),
            block_items=max(block.items for block in self._blocks),
        )
        return entry, self._coded()

    def _coded(self) -> Iterator[bytes]:
        for block in self._blocks:
            yield BLOCK_HEADER.pack(block.coder, block.items, len(block.coded))
            yield block.coded

    def _flush(self) -> None:
        if self._shared:
            self._blocks += code_blocks(np.concatenate(self._shared), self._settings)
            self._shared = []


class TextWriter:
    """A stream of plain bytes with one history: graph, names, and whatever nothing predicts."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._chunks: list[Octets] = []

    def add(self, chunk: Octets) -> None:
        """Append bytes."""
        self._chunks.append(chunk)

    @property
    def size(self) -> int:
        """Bytes so far."""
        return sum(chunk.size for chunk in self._chunks)

    def finish(self, primer: Primer | None = None) -> tuple[StreamEntry, Iterator[bytes]]:
        """The stream's entry for the index, and its bytes, coded in the way that takes the fewest.

        It may be coded as text only where `primer` says what of the base comes before; then the patch needs the base.
        """
        plain = b"".join(chunk.tobytes() for chunk in self._chunks)
        level = self._settings.zstd_level if primer is None else _TEXT_LEVEL
        ways = [(STORED, plain, 0)]
        if not self._settings.hard_text or len(plain) <= _SHORT_BYTES:
            ways.append((FRAME, zstd.compress(plain, level=level), 0))
        if self._settings.hard_text:
            ways += _hard_ways(plain, primer)
        kind, body, parameter = min(ways, key=lambda way: len(way[1]))
        return StreamEntry(kind, _BYTE, len(plain), len(body), parameter), iter((body,))


def _hard_ways(plain: bytes, primer: Primer | None) -> Iterator[tuple[int, bytes, int]]:
    """Kind, bytes and parameter of the codings that take long."""
    if primer is not None and 0 < len(plain) <= codec.MAX_TEXT_BYTES:
        before = primer.limited(_PRIMER_SHARE * len(plain))
        if not zstd.is_alike(plain, before.text):
            before = NO_PRIMER
        yield TEXT, primed.write(plain, before.ranges, before.text), len(before.text)
        return
    yield LZMA, lzma_raw.compress(plain, position_bits=_position_bits(plain)), lzma_raw.history_bytes(len(plain))


def _position_bits(plain: bytes) -> int:
    """Whether bytes depend on their place modulo four, by trying it on a sample; each takes a second for 2 MB."""
    middle = max(0, (len(plain) - _SAMPLE_BYTES) // 2)
    sample = plain[middle : middle + _SAMPLE_BYTES]
    return min((0, 2), key=lambda bits: len(lzma_raw.compress(sample, position_bits=bits)))


_TEXT_LEVEL = 19
"""Of zstd, at any effort: a model has little text, and of what is no model it is all."""
_SHORT_BYTES = 1 << 20
"""Above, zstd is not tried where lzma is: it takes as long and loses."""
_PRIMER_SHARE = 8
"""More of the base than this many times the text costs time and little else."""
_SAMPLE_BYTES = 1 << 18


_BYTE = next(number for number, item in enumerate(ITEM_TYPES) if item == np.uint8)
