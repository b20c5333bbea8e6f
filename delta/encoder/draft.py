"""A patch under construction: spans that name their stream by its role, streams that fill, and one serialisation."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from delta.arrays import Items, Octets
from delta.coders import zstd
from delta.encoder.effort import Settings
from delta.encoder.writers import WINDOW_BYTES, Block, BlockWriter, TextWriter, code_blocks
from delta.format import Header, Identity, serialise_index
from delta.predictors import PREDICTORS, Span
from delta.predictors.copy import Copy
from delta.predictors.literal import Literal
from delta.predictors.table import Table
from delta.streams import StreamEntry

SHARED_ITEMS = 1 << 13
"""Tensors with fewer items share blocks with others of their role: a block of its own costs some 100 bytes of bins."""


@dataclass(frozen=True, slots=True)
class Role:
    """What a stream is for: the kind of residual and the number of its item type."""

    name: str
    item: int


_TEXT = Role("text", 0)


@dataclass(frozen=True, slots=True)
class Residual:
    """What a span draws: a role, the items, and their blocks where they were coded whole already."""

    role: Role
    items: Items
    blocks: list[Block] | None = None


@dataclass(frozen=True, slots=True)
class _Planned:
    """A span whose stream, always its last operand, is still a role."""

    predictor: int
    length: int
    operands: tuple[int, ...]
    role: Role | None = None


class Draft:
    """Spans in the order of the output, and what they draw."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._spans: list[_Planned] = []
        self._text = TextWriter(settings)
        self._blocks: dict[Role, BlockWriter] = {}
        self._table = bytearray()

    @property
    def reads_base(self) -> bool:
        """Whether any span does; if none, the patch is packed."""
        return any(PREDICTORS[span.predictor].reads_base for span in self._spans)

    def copy(self, base_offset: int, length: int) -> None:
        """Bytes of the base; joins the copy before it where that goes on."""
        last = self._spans[-1] if self._spans else None
        if last and last.predictor == Copy.number and last.operands[0] + last.length == base_offset:
            self._spans[-1] = _Planned(Copy.number, last.length + length, last.operands)
        else:
            self._spans.append(_Planned(Copy.number, length, (base_offset,)))

    def text(self, chunk: Octets) -> None:
        """Plain bytes; joins those before it."""
        self._text.add(chunk)
        last = self._spans[-1] if self._spans else None
        if last and last.role == _TEXT:
            self._spans[-1] = _Planned(Literal.number, last.length + chunk.size, (), _TEXT)
        else:
            self._spans.append(_Planned(Literal.number, chunk.size, (), _TEXT))

    def put_in_table(self, chunk: bytes) -> int:
        """Store bytes that spans need before their own turn; the offset of their one copy."""
        found = self._table.find(chunk)
        if found >= 0:
            return found
        self._table += chunk
        return len(self._table) - len(chunk)

    def table(self, table_offset: int, length: int) -> None:
        """Bytes of the table, at their place in the output."""
        self._spans.append(_Planned(Table.number, length, (table_offset,)))

    def predicted(self, predictor: int, length: int, operands: tuple[int, ...], residual: Residual) -> None:
        """A span that draws `residual`; the number of its stream becomes its last operand."""
        role = residual.role
        shared = residual.items.size < SHARED_ITEMS
        if shared:
            role = Role(role.name + "-shared", role.item)
        writer = self._blocks.setdefault(role, BlockWriter(role.item, self._settings))
        if shared:
            writer.add_shared(residual.items)
        else:
            writer.add_blocks(residual.blocks or code_blocks(residual.items, self._settings))
        self._spans.append(_Planned(predictor, length, operands, role))

    def serialise(self, base: Identity | None, target: Identity) -> Iterator[bytes]:
        """The patch's bytes, in pieces. `base` is named only where a span reads it."""
        streams, numbers = self._finished_streams()
        spans = [
            Span(span.predictor, span.length, (*span.operands, numbers[span.role]) if span.role else span.operands)
            for span in self._spans
        ]
        index = serialise_index([entry for entry, _ in streams], spans)
        coded_index = zstd.compress(index, level=self._settings.zstd_level)
        header = Header(
            base=base if self.reads_base else None,
            target=target,
            window_bytes=WINDOW_BYTES,
            table_bytes=len(self._table),
            streams=len(streams),
            spans=len(spans),
            index_bytes=len(index),
            coded_index_bytes=len(coded_index),
        )
        yield header.serialise()
        yield coded_index
        for _, body in streams:
            yield from body

    def _finished_streams(self) -> tuple[list[tuple[StreamEntry, Iterator[bytes]]], dict[Role, int]]:
        streams = []
        numbers: dict[Role, int] = {}
        if self._table:
            table = TextWriter(self._settings)
            table.add(np.frombuffer(bytes(self._table), np.uint8))
            streams.append(table.finish())
        if any(span.role == _TEXT for span in self._spans):
            numbers[_TEXT] = len(streams)
            streams.append(self._text.finish())
        for role, writer in self._blocks.items():
            numbers[role] = len(streams)
            streams.append(writer.finish())
        return streams, numbers
