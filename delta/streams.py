"""The streams of a patch: what the spans draw from, in order, a window at a time.

A stream holds items of one type and is one of six kinds: stored as it is, one zstd frame or one lzma stream with its
history running through all of it, blocks that each have their own coder, coded in contexts that whoever draws must say,
or a text coded after some of the base's. Nothing here trusts the patch: every count is compared with what the index
declared before an array is made.
"""

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import zstandard

from delta import coders
from delta.arrays import ITEM_TYPES, Items
from delta.coders import lzma_raw
from delta.coders.zstd import MAX_WINDOW_BYTES
from delta.entropy import rans
from delta.entropy.stream import CodedItems, buffer_bytes
from delta.errors import PatchMalformed
from delta.limits import Deadline
from delta.spans import Contexts
from delta.text import codec, primed
from delta.text.primed import ReadBase

STORED, FRAME, BLOCKS, CODED, TEXT, LZMA = KINDS = range(6)
BLOCK_HEADER = struct.Struct("<BII")
"""Coder, items, coded bytes."""
MAX_CODER_OVERHEAD_BYTES = 1024
"""A block that takes more than its items and this is refused before it is read; the encoder stores such blocks."""


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """One stream as the index declares it.

    `block_items` is the most that one block holds (blocks), how many slots the tables have (coded), how many bytes of the
    base come before (text), or how many bytes of history are kept (lzma); else 0.
    """

    kind: int
    item: int
    items: int
    coded_bytes: int
    block_items: int

    @property
    def item_type(self) -> np.dtype[np.generic]:
        return ITEM_TYPES[self.item]

    @property
    def buffer_bytes(self) -> int:
        """What reading it keeps in memory besides what is drawn."""
        if self.kind == FRAME:
            return MAX_WINDOW_BYTES
        if self.kind == CODED:
            return buffer_bytes(self.block_items)
        if self.kind == TEXT:
            return codec.WORKING_BYTES
        if self.kind == LZMA:
            return self.block_items
        return self.block_items * self.item_type.itemsize

    def check(self) -> None:
        """Raise `PatchMalformed` where the entry makes no sense by itself."""
        if self.kind not in KINDS:
            raise PatchMalformed(f"unknown kind of stream {self.kind}")
        if self.item >= len(ITEM_TYPES):
            raise PatchMalformed(f"unknown item type {self.item}")
        if self.kind == STORED and self.coded_bytes != self.items * self.item_type.itemsize:
            raise PatchMalformed("a stored stream has another size than its items")
        if self.kind == CODED and self.block_items > rans.MAX_SLOTS:
            raise PatchMalformed("a coded stream has too many slots")
        if self.kind == TEXT and (self.item or self.block_items > codec.MAX_PRIMER_BYTES):
            raise PatchMalformed("a text is none of bytes, or comes after more than allowed")


def reads_base(entry: StreamEntry) -> bool:
    """Whether reading the stream takes bytes of the base."""
    return entry.kind == TEXT and entry.block_items > 0


class Section:
    """A byte range of an open file, read from its beginning to its end. Never reads outside."""

    def __init__(self, fd: int, offset: int, size: int) -> None:
        self._fd = fd
        self._offset = offset
        self.left = size

    def read(self, size: int) -> bytes:
        """At most `size` bytes, none at the end."""
        wanted = min(size, self.left)
        chunk = os.pread(self._fd, wanted, self._offset)
        if wanted and not chunk:
            raise PatchMalformed("the patch is cut short")
        self._offset += len(chunk)
        self.left -= len(chunk)
        return chunk

    def part(self, skipped: int, size: int) -> "Section":
        """The `size` bytes after the next `skipped`; both lie in what is left."""
        return Section(self._fd, self._offset + skipped, size)

    def read_exactly(self, size: int) -> bytes:
        """`size` bytes.

        Raises:
            PatchMalformed: the section has fewer left.
        """
        if size > self.left:
            raise PatchMalformed("a stream of the patch is cut short")
        chunks = []
        while size:
            chunks.append(self.read(size))
            size -= len(chunks[-1])
        return b"".join(chunks)


class _Source(Protocol):
    """Where a stream's items come from; `more` gives at least one item and at most `wanted`.

    `exhausted` is whether nothing is left over once all items that the index declares were taken.
    """

    def more(self, wanted: int) -> Items: ...

    @property
    def exhausted(self) -> bool: ...


class _Stored:
    def __init__(self, section: Section, item: np.dtype[np.generic]) -> None:
        self._section = section
        self._item = item

    def more(self, wanted: int) -> Items:
        return np.frombuffer(self._section.read_exactly(wanted * self._item.itemsize), self._item)

    @property
    def exhausted(self) -> bool:
        return self._section.left == 0


class _Frame:
    def __init__(self, section: Section, item: np.dtype[np.generic]) -> None:
        self._section = section
        self._item = item
        decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
        self._reader = decompressor.stream_reader(section, read_size=1 << 16)  # type: ignore[arg-type]

    def more(self, wanted: int) -> Items:
        plain = self._read(wanted * self._item.itemsize)
        if len(plain) != wanted * self._item.itemsize:
            raise PatchMalformed("a zstd frame is cut short")
        return np.frombuffer(plain, self._item)

    def _read(self, size: int) -> bytes:
        try:
            return self._reader.read(size)
        except zstandard.ZstdError as error:
            raise PatchMalformed(f"a zstd frame is damaged: {error}") from error

    @property
    def exhausted(self) -> bool:
        return not self._read(1) and self._section.left == 0


_NO_ITEMS: Items = np.empty(0, np.uint8)


class _Blocks:
    def __init__(self, section: Section, entry: StreamEntry) -> None:
        self._section = section
        self._entry = entry
        self._items = _NO_ITEMS

    def more(self, wanted: int) -> Items:
        if self._items.size == 0:
            self._items = _NO_ITEMS  # a rest of no items would keep the whole of its block while the next is decoded
            self._items = self._next_block()
        taken, self._items = self._items[:wanted], self._items[wanted:]
        return taken

    def _next_block(self) -> Items:
        number, count, coded_bytes = BLOCK_HEADER.unpack(self._section.read_exactly(BLOCK_HEADER.size))
        if not 0 < count <= self._entry.block_items:
            raise PatchMalformed(f"a block has {count} items, its stream allows 1 to {self._entry.block_items}")
        if coded_bytes > count * self._entry.item_type.itemsize + MAX_CODER_OVERHEAD_BYTES:
            raise PatchMalformed(f"a block of {count} items takes {coded_bytes} bytes, more than stored")
        return coders.decode(number, self._section.read_exactly(coded_bytes), self._entry.item_type, count)

    @property
    def exhausted(self) -> bool:
        return self._items.size == 0 and self._section.left == 0


class _Lzma:
    def __init__(self, section: Section, entry: StreamEntry) -> None:
        self._item = entry.item_type
        self._reader = lzma_raw.Reader(section, entry.block_items)

    def more(self, wanted: int) -> Items:
        return np.frombuffer(self._reader.read_exactly(wanted * self._item.itemsize), self._item)

    @property
    def exhausted(self) -> bool:
        return self._reader.exhausted


class _Text:
    def __init__(self, section: Section, entry: StreamEntry, read_base: ReadBase) -> None:
        self._text = np.frombuffer(primed.read(section, entry.items, entry.block_items, read_base), np.uint8)

    def more(self, wanted: int) -> Items:
        taken, self._text = self._text[:wanted], self._text[wanted:]
        return taken

    @property
    def exhausted(self) -> bool:
        return self._text.size == 0


class _Coded:
    """Items in contexts. Its tables are made when something is first drawn."""

    def __init__(self, section: Section, entry: StreamEntry) -> None:
        self._items = CodedItems(section, entry.item_type, entry.block_items)

    def more(self, wanted: int) -> Items:
        return self._items.take(np.zeros(wanted, np.uint16))

    def take(self, contexts: Contexts) -> Items:
        return self._items.take(contexts)

    @property
    def exhausted(self) -> bool:
        return self._items.exhausted


class Stream:
    """One stream being read. `draw` is the only way forward."""

    def __init__(self, entry: StreamEntry, section: Section, deadline: Deadline, read_base: ReadBase) -> None:
        self.item_type = entry.item_type
        self._entry = entry
        self._section = section
        self._deadline = deadline
        self._read_base = read_base
        self._left = entry.items
        self._source: _Source | None = None

    def draw(self, count: int, contexts: Contexts | None = None) -> Items:
        """The next `count` items, each in its context. The caller bounds `count` by its window.

        Raises:
            PatchMalformed: fewer are left, their bytes are damaged, or the stream knows no contexts.
            LimitExceeded: the time is used up.
        """
        if count > self._left:
            raise PatchMalformed(f"a stream has {self._left} items left, {count} are asked for")
        self._left -= count
        if self._source is None:
            self._source = _open(self._entry, self._section, self._read_base)
        if contexts is not None:
            if not isinstance(self._source, _Coded):
                raise PatchMalformed("a span names contexts for a stream that has none")
            return self._source.take(contexts)
        return self._joined(self._source, count) if count else np.empty(0, self.item_type)

    def _joined(self, source: _Source, count: int) -> Items:
        """`count` items, however many parts they come in; copied only where they are more than one."""
        first = source.more(count)
        if first.size == count:
            return first
        items = np.empty(count, self.item_type)
        at, part = 0, first
        while True:
            items[at : at + part.size] = part
            at += part.size
            if at == count:
                return items
            self._deadline.check()
            part = source.more(count - at)

    @property
    def exhausted(self) -> bool:
        """Whether everything that was declared has been drawn, and nothing else is there."""
        return self._left == 0 and (self._section.left == 0 if self._source is None else self._source.exhausted)


def _open(entry: StreamEntry, section: Section, read_base: ReadBase) -> _Source:
    if entry.kind == STORED:
        return _Stored(section, entry.item_type)
    if entry.kind == FRAME:
        return _Frame(section, entry.item_type)
    if entry.kind == CODED:
        return _Coded(section, entry)
    if entry.kind == TEXT:
        return _Text(section, entry, read_base)
    if entry.kind == LZMA:
        return _Lzma(section, entry)
    return _Blocks(section, entry)


def open_streams(
    fd: int, offset: int, entries: Sequence[StreamEntry], deadline: Deadline, read_base: ReadBase
) -> list[Stream]:
    """All streams; they follow one another in the file from `offset` on.

    Raises:
        PatchMalformed: they hold more text than allowed, which would take long.
    """
    if sum(entry.items for entry in entries if entry.kind == TEXT) > codec.MAX_TEXT_BYTES:
        raise PatchMalformed(f"the patch has more than {codec.MAX_TEXT_BYTES} bytes of text")
    streams = []
    for entry in entries:
        streams.append(Stream(entry, Section(fd, offset, entry.coded_bytes), deadline, read_base))
        offset += entry.coded_bytes
    return streams
