"""A patch under construction: spans that name their stream by its role, streams that fill, and one serialisation."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

import numpy as np

from delta.arrays import ITEM_TYPES, Octets, octets
from delta.contexts import ContextModel
from delta.corrections import CORRECTIONS
from delta.corrections.changes import Changes
from delta.corrections.exact import Exact
from delta.encoder.coded import CodedWriter
from delta.encoder.effort import Settings
from delta.encoder.primer import NO_PRIMER, Primer
from delta.encoder.terms import Term, TermNumbers
from delta.encoder.way import ContextPlan, Drawn, InBlocks, InBytes, InContext, Operand, Proposal, Way
from delta.encoder.writers import WINDOW_BYTES, BlockWriter, TextWriter, code_blocks
from delta.format import Header, Identity, encode_index, serialise_index
from delta.layouts import Layout
from delta.predictors import PREDICTORS
from delta.predictors.copy import Copy
from delta.predictors.text import Text
from delta.spans import Span
from delta.streams import StreamEntry, reads_base
from delta.text.codec import MAX_TEXT_BYTES
from delta.versions import FORMAT_VERSION

SHARED_ITEMS = 1 << 13
"""Tensors with fewer items share blocks with others of their role: a block of its own costs some 100 bytes of bins."""

Key = tuple[str, str]
"""What a stream is known by until it has a number: role, and how its items are coded."""


@dataclass(frozen=True, slots=True)
class _Draw:
    """A stream by its key, and the number of a context model."""

    stream: Key
    context: int = 0


@dataclass(frozen=True, slots=True)
class _Planned:
    """A span whose streams are still keys; `operands` and `correction_operands` leave them out."""

    predictor: int
    length: int
    operands: tuple[int, ...] = ()
    correction: int = Exact.number
    correction_operands: tuple[int, ...] = ()
    guess: _Draw | None = None
    drawn: _Draw | None = None

    def span(self, numbers: dict[Key, int]) -> Span:
        """The span, once streams have numbers."""
        operands = _with_stream(self.operands, PREDICTORS[self.predictor].operands, self.guess, numbers)
        named = CORRECTIONS[self.correction].operands
        corrected = _with_stream(self.correction_operands, named, self.drawn, numbers)
        return Span(self.predictor, self.length, operands, self.correction, corrected)


def _with_stream(
    operands: tuple[int, ...], named: tuple[str, ...], draw: _Draw | None, numbers: dict[Key, int]
) -> tuple[int, ...]:
    """The operands with stream and context where their names stand."""
    if draw is None:
        return operands
    place = named.index("stream")
    return (*operands[:place], numbers[draw.stream], draw.context, *operands[place:])


class Draft:
    """Spans in the order of the output, and what they draw."""

    def __init__(self, settings: Settings, primer: Primer | None = None) -> None:
        """`primer`: what of the base may come before text; where there is none, text is coded in the simple ways."""
        self._settings = settings
        self._primer = primer
        self._spans: list[_Planned] = []
        self._text = TextWriter(settings)
        self._changes = TextWriter(settings)
        self._blocks: dict[Key, BlockWriter] = {}
        self._bytes: dict[Key, TextWriter] = {}
        self._coded: dict[Key, CodedWriter] = {}
        self._table = bytearray()
        self._terms = TermNumbers()
        self._contexts: list[ContextModel] = []

    @property
    def text_bytes(self) -> int:
        """How much of the output no predictor was found for."""
        return self._text.size

    @property
    def reads_base(self) -> bool:
        """Whether any span does; if none, the patch is packed."""
        reads = any(PREDICTORS[planned.predictor].reads_base for planned in self._spans)
        return reads or bool(self._terms.formulas)

    def copy(self, base_offset: int, length: int) -> None:
        """Bytes of the base; joins the copy before it where that goes on."""
        last = self._spans[-1] if self._spans else None
        is_copy = last is not None and (last.predictor, last.correction) == (Copy.number, Exact.number)
        if last is not None and is_copy and last.operands[0] + last.length == base_offset:
            self._spans[-1] = replace(last, length=last.length + length)
        else:
            self._spans.append(_Planned(Copy.number, length, (base_offset,)))

    def text(self, chunk: Octets) -> None:
        """Plain bytes; joins those before it."""
        self._text.add(chunk)
        last = self._spans[-1] if self._spans else None
        if last and last.predictor == Text.number:
            self._spans[-1] = replace(last, length=last.length + chunk.size)
        else:
            self._spans.append(_Planned(Text.number, chunk.size))

    def changed(self, base_offset: int, chunk: Octets, old: Octets) -> None:
        """Bytes that are nearly those of the base, `old`."""
        self._changes.add(chunk - old)
        self._spans.append(_Planned(Copy.number, chunk.size, (base_offset,), Changes.number))

    def take(self, proposal: Proposal) -> None:
        """The spans of a proposal, one after the other."""
        for way in proposal:
            if way.predictor == Copy.number and way.correction == Exact.number and isinstance(way.operands[0], int):
                self.copy(way.operands[0], way.length)
            else:
                self._take(way)

    def _take(self, way: Way) -> None:
        guess = self._draw(way.guess) if way.guess else None
        drawn = self._draw(way.drawn) if way.drawn else None
        self._spans.append(
            _Planned(
                way.predictor,
                way.length,
                tuple(self._number(operand) for operand in way.operands),
                way.correction,
                tuple(self._number(operand) for operand in way.correction_operands),
                guess,
                drawn,
            )
        )

    def _number(self, operand: Operand) -> int:
        if operand is None:
            return 0
        if isinstance(operand, bytes):
            return self._put_in_table(operand)
        if isinstance(operand, Layout):
            return self._terms.of_layout(operand)
        if isinstance(operand, Term):
            return self._terms.of(operand)
        return operand

    def _put_in_table(self, chunk: bytes) -> int:
        """Store bytes that spans need before their own turn; the offset of their one copy."""
        found = self._table.find(chunk)
        if found >= 0:
            return found
        self._table += chunk
        return len(self._table) - len(chunk)

    def _draw(self, drawn: Drawn) -> _Draw:
        """Put the items into their stream."""
        if isinstance(drawn, InContext):
            return self._draw_in_context(drawn)
        return self._draw_bytes(drawn) if isinstance(drawn, InBytes) else self._draw_blocks(drawn)

    def _draw_bytes(self, drawn: InBytes) -> _Draw:
        key = (drawn.role, "bytes")
        if key not in self._bytes:
            self._bytes[key] = TextWriter(self._settings)
        self._bytes[key].add(octets(drawn.items))
        return _Draw(key)

    def _draw_in_context(self, drawn: InContext) -> _Draw:
        coding = f"{drawn.items.dtype.str} {drawn.plan.mapping.name}"
        for part in count():
            key = (drawn.role, f"{coding} {part}")
            if key not in self._coded:
                number = ITEM_TYPES.index(drawn.items.dtype)
                self._coded[key] = CodedWriter(number, drawn.plan.mapping, self._settings)
            if self._coded[key].has_room(drawn.plan.group, drawn.plan.count):
                break
        writer = self._coded[key]
        first = writer.first_context(drawn.plan.group, drawn.plan.count)
        writer.add(drawn.items, drawn.contexts + np.uint16(first))
        return _Draw(key, self._model(drawn.plan, first))

    def _draw_blocks(self, drawn: InBlocks) -> _Draw:
        shared = drawn.items.size < SHARED_ITEMS
        key = (drawn.role, drawn.items.dtype.str + (" shared" if shared else ""))
        if key not in self._blocks:
            self._blocks[key] = BlockWriter(ITEM_TYPES.index(drawn.items.dtype), self._settings)
        if shared:
            self._blocks[key].add_shared(drawn.items)
        else:
            self._blocks[key].add_blocks(drawn.blocks or code_blocks(drawn.items, self._settings))
        return _Draw(key)

    def _model(self, plan: ContextPlan, first: int) -> int:
        """The number of a plan's model."""
        places = [self._put_in_table(shifts.astype("<i2").tobytes()) for shifts in (plan.shifts, plan.second_shifts)]
        model = plan.model(first, *places)
        if model not in self._contexts:
            self._contexts.append(model)
        return self._contexts.index(model) + 1

    def serialise(self, base: Identity | None, target: Identity) -> Iterator[bytes]:
        """The patch's bytes, in pieces. `base` is named only where a span reads it."""
        streams, numbers = self._finished_streams()
        spans = [planned.span(numbers) for planned in self._spans]
        index = serialise_index(
            [entry for entry, _ in streams], self._terms.layouts, self._contexts, spans, self._terms.formulas
        )
        hard = self._settings.hard_text and self._primer is not None
        coded_index, index_coding = encode_index(index, zstd_level=self._settings.zstd_level, hard=hard)
        header = Header(
            version=FORMAT_VERSION,
            base=base if self.reads_base or any(reads_base(entry) for entry, _ in streams) else None,
            target=target,
            window_bytes=WINDOW_BYTES,
            table_bytes=len(self._table),
            streams=len(streams),
            spans=len(spans),
            index_bytes=len(index),
            coded_index_bytes=len(coded_index),
            index_coding=index_coding,
        )
        yield header.serialise()
        yield coded_index
        for _, body in streams:
            yield from body

    def _changes_primer(self) -> Primer | None:
        """Whether the changes may be coded as text, with nothing before them, because all text is short."""
        is_short = self._primer is not None and self._text.size + self._changes.size <= MAX_TEXT_BYTES
        return NO_PRIMER if is_short else None

    def _finished_streams(self) -> tuple[list[tuple[StreamEntry, Iterator[bytes]]], dict[Key, int]]:
        streams = []
        numbers: dict[Key, int] = {}
        if self._table:
            table = TextWriter(self._settings)
            table.add(np.frombuffer(bytes(self._table), np.uint8))
            streams.append(table.finish())
        if self._text.size or self._changes.size:
            streams.append(self._text.finish(self._primer))
        if self._changes.size:
            streams.append(self._changes.finish(self._changes_primer()))
        finished = {key: writer.finish() for key, writer in self._blocks.items()}
        finished |= {key: writer.finish() for key, writer in self._bytes.items()}
        finished |= {key: writer.finish() for key, writer in self._coded.items()}
        for key, stream in finished.items():
            numbers[key] = len(streams)
            streams.append(stream)
        return streams, numbers
