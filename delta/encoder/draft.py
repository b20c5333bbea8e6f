"""A patch under construction: spans that name their stream by its role, streams that fill, and one serialisation."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from delta.arrays import ITEM_TYPES, Octets
from delta.coders import zstd
from delta.contexts import ContextModel
from delta.corrections.exact import Exact
from delta.encoder.coded import CodedWriter
from delta.encoder.effort import Settings
from delta.encoder.way import ContextPlan, InBlocks, InContext, Operand, Proposal, Way
from delta.encoder.writers import WINDOW_BYTES, BlockWriter, TextWriter, code_blocks
from delta.format import FORMAT_VERSION, Header, Identity, serialise_index
from delta.layouts import Layout
from delta.predictors import PREDICTORS
from delta.predictors.copy import Copy
from delta.predictors.literal import Literal
from delta.spans import Span
from delta.streams import StreamEntry

SHARED_ITEMS = 1 << 13
"""Tensors with fewer items share blocks with others of their role: a block of its own costs some 100 bytes of bins."""

_TEXT = "text"
Key = tuple[str, str]
"""What a stream is known by until it has a number: role, and how its items are coded."""


@dataclass(frozen=True, slots=True)
class _Planned:
    """A span whose stream, the first operand of who draws, is still a key."""

    span: Span
    stream: Key | None = None


class Draft:
    """Spans in the order of the output, and what they draw."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._spans: list[_Planned] = []
        self._text = TextWriter(settings)
        self._blocks: dict[Key, BlockWriter] = {}
        self._coded: dict[Key, CodedWriter] = {}
        self._table = bytearray()
        self._layouts: list[Layout] = []
        self._contexts: list[ContextModel] = []

    @property
    def reads_base(self) -> bool:
        """Whether any span does; if none, the patch is packed."""
        return any(PREDICTORS[planned.span.predictor].reads_base for planned in self._spans)

    def copy(self, base_offset: int, length: int) -> None:
        """Bytes of the base; joins the copy before it where that goes on."""
        last = self._spans[-1].span if self._spans else None
        is_copy = last is not None and (last.predictor, last.correction) == (Copy.number, Exact.number)
        if last is not None and is_copy and last.operands[0] + last.length == base_offset:
            self._spans[-1] = _Planned(replace(last, length=last.length + length))
        else:
            self._spans.append(_Planned(Span(Copy.number, length, (base_offset,))))

    def text(self, chunk: Octets) -> None:
        """Plain bytes; joins those before it."""
        self._text.add(chunk)
        last = self._spans[-1] if self._spans else None
        if last and last.stream == (_TEXT, ""):
            self._spans[-1] = replace(last, span=replace(last.span, length=last.span.length + chunk.size))
        else:
            self._spans.append(_Planned(Span(Literal.number, chunk.size, (0,)), (_TEXT, "")))

    def take(self, proposal: Proposal) -> None:
        """The spans of a proposal, one after the other."""
        for way in proposal:
            if way.predictor == Copy.number and way.correction == Exact.number and isinstance(way.operands[0], int):
                self.copy(way.operands[0], way.length)
            else:
                self._take(way)

    def _take(self, way: Way) -> None:
        operands = tuple(self._number(operand) for operand in way.operands)
        correction_operands = tuple(self._number(operand) for operand in way.correction_operands)
        key = None
        if way.drawn is not None:
            key, model = self._draw(way.drawn)
            if way.correction == Exact.number:
                operands = (model, *operands)
            else:
                correction_operands = (model, *correction_operands)
        span = Span(way.predictor, way.length, operands, way.correction, correction_operands)
        self._spans.append(_Planned(span, key))

    def _number(self, operand: Operand) -> int:
        if operand is None:
            return 0
        if isinstance(operand, bytes):
            return self._put_in_table(operand)
        if isinstance(operand, Layout):
            if operand not in self._layouts:
                self._layouts.append(operand)
            return self._layouts.index(operand) + 1
        return operand

    def _put_in_table(self, chunk: bytes) -> int:
        """Store bytes that spans need before their own turn; the offset of their one copy."""
        found = self._table.find(chunk)
        if found >= 0:
            return found
        self._table += chunk
        return len(self._table) - len(chunk)

    def _draw(self, drawn: InBlocks | InContext) -> tuple[Key, int]:
        """Put the items into their stream; its key, and the number of the context model."""
        return self._draw_in_context(drawn) if isinstance(drawn, InContext) else (self._draw_blocks(drawn), 0)

    def _draw_in_context(self, drawn: InContext) -> tuple[Key, int]:
        key = (drawn.role, f"{drawn.items.dtype.str} {drawn.plan.mapping.name}")
        if key not in self._coded:
            number = ITEM_TYPES.index(drawn.items.dtype)
            self._coded[key] = CodedWriter(number, drawn.plan.mapping, self._settings)
        writer = self._coded[key]
        first = writer.first_context(drawn.plan.group, drawn.plan.count)
        writer.add(drawn.items, drawn.contexts + np.uint16(first))
        return key, self._model(drawn.plan, first)

    def _draw_blocks(self, drawn: InBlocks) -> Key:
        shared = drawn.items.size < SHARED_ITEMS
        key = (drawn.role, drawn.items.dtype.str + (" shared" if shared else ""))
        if key not in self._blocks:
            self._blocks[key] = BlockWriter(ITEM_TYPES.index(drawn.items.dtype), self._settings)
        if shared:
            self._blocks[key].add_shared(drawn.items)
        else:
            self._blocks[key].add_blocks(drawn.blocks or code_blocks(drawn.items, self._settings))
        return key

    def _model(self, plan: ContextPlan, first: int) -> int:
        """The number of a plan's model."""
        shifts_at = self._put_in_table(plan.shifts.astype("<i2").tobytes()) if plan.shifts.size else 0
        model = plan.model(first, shifts_at)
        if model not in self._contexts:
            self._contexts.append(model)
        return self._contexts.index(model) + 1

    def serialise(self, base: Identity | None, target: Identity) -> Iterator[bytes]:
        """The patch's bytes, in pieces. `base` is named only where a span reads it."""
        streams, numbers = self._finished_streams()
        spans = [_numbered(planned, numbers) for planned in self._spans]
        index = serialise_index([entry for entry, _ in streams], self._layouts, self._contexts, spans)
        coded_index = zstd.compress(index, level=self._settings.zstd_level)
        header = Header(
            version=FORMAT_VERSION,
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

    def _finished_streams(self) -> tuple[list[tuple[StreamEntry, Iterator[bytes]]], dict[Key, int]]:
        streams = []
        numbers: dict[Key, int] = {}
        if self._table:
            table = TextWriter(self._settings)
            table.add(np.frombuffer(bytes(self._table), np.uint8))
            streams.append(table.finish())
        if any(planned.stream == (_TEXT, "") for planned in self._spans):
            numbers[_TEXT, ""] = len(streams)
            streams.append(self._text.finish())
        finished = {key: writer.finish() for key, writer in self._blocks.items()}
        finished |= {key: writer.finish() for key, writer in self._coded.items()}
        for key, stream in finished.items():
            numbers[key] = len(streams)
            streams.append(stream)
        return streams, numbers


def _numbered(planned: _Planned, numbers: dict[Key, int]) -> Span:
    """The span with its stream's number in front of the operands of who draws."""
    span = planned.span
    if planned.stream is None:
        return span
    number = numbers[planned.stream]
    if span.correction == Exact.number:
        return replace(span, operands=(number, *span.operands))
    return replace(span, correction_operands=(number, *span.correction_operands))
