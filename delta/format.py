"""The container: header, index (streams, layouts, contexts, spans), then the streams; see `docs/formats.md`.

Sizes are checked against the caller's limits before the memory for them is taken. What a span *does* is the predictors'
and corrections' business; here it has their numbers, a length and operands. Version 1 is read by `format_v1`.
"""

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from itertools import accumulate, pairwise

import numpy as np

from delta import format_v1, varints
from delta.coders import zstd
from delta.contexts import ContextModel
from delta.corrections import CORRECTIONS
from delta.errors import PatchMalformed, PatchVersionUnsupported
from delta.layouts import MAX_AXES, Layout
from delta.limits import Limits
from delta.predictors import PREDICTORS
from delta.spans import Span
from delta.streams import BLOCKS, Section, StreamEntry

MAGIC = b"\x89SFD\r\n\x1a\n"
"""As PNG's (RFC 2083 section 12.11): no text, and broken by transfers that change line ends."""
FORMAT_VERSION = 2
READABLE_VERSIONS = (1, 2)

_PREFIX = struct.Struct("<8sHH")
_HEADER = struct.Struct("<8sHHIQ32sQ32sIIIII")
_HAS_BASE = 1
_STREAM_FIELDS = 5
_CONTEXT_FIELDS = 7
_ALIGNMENT = 64
MIN_WINDOW_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Identity:
    """A plain file, known by its digest."""

    sha256: str
    size_bytes: int

    def __str__(self) -> str:
        return f"sha256 {self.sha256} ({self.size_bytes} bytes)"


@dataclass(frozen=True, slots=True)
class Header:
    """What a patch says about itself; `base` is `None` when it needs none (packed)."""

    version: int
    base: Identity | None
    target: Identity
    window_bytes: int
    table_bytes: int
    streams: int
    spans: int
    index_bytes: int
    coded_index_bytes: int

    def serialise(self) -> bytes:
        """The header's bytes."""
        base = self.base or Identity("00" * 32, 0)
        return _HEADER.pack(
            MAGIC,
            self.version,
            _HAS_BASE if self.base else 0,
            self.window_bytes,
            base.size_bytes,
            bytes.fromhex(base.sha256),
            self.target.size_bytes,
            bytes.fromhex(self.target.sha256),
            self.table_bytes,
            self.streams,
            self.spans,
            self.index_bytes,
            self.coded_index_bytes,
        )


@dataclass(frozen=True, slots=True)
class Index:
    """What the spans share, and the spans in the order of the output, kept in columns because there may be many."""

    streams: tuple[StreamEntry, ...]
    layouts: tuple[Layout, ...]
    contexts: tuple[ContextModel, ...]
    predictors: varints.Integers
    corrections: varints.Integers
    lengths: varints.Integers
    operands: varints.Integers

    def spans(self) -> Iterator[Span]:
        """The spans, one at a time, with the offsets in the base made absolute."""
        base_end = 0
        at = 0
        columns = (self.predictors.tolist(), self.lengths.tolist(), self.corrections.tolist())
        for number, length, correction in zip(*columns, strict=True):
            predictor = PREDICTORS[number]
            middle = at + len(predictor.operands)
            end = middle + len(CORRECTIONS[correction].operands)
            operands = self.operands[at:middle].tolist()
            if predictor.reads_base:
                operands[0] = base_end + varints.unfold(operands[0])
                base_end = operands[0] + length
            yield Span(number, length, tuple(operands), correction, tuple(self.operands[middle:end].tolist()))
            at = end


@dataclass(frozen=True, slots=True)
class Container:
    """A patch's header and index, and where in the file its streams begin."""

    header: Header
    index: Index
    streams_offset: int


def parse(fd: int, limits: Limits) -> Container:
    """Read and check everything but the streams.

    Raises:
        PatchMalformed: the bytes contradict themselves or the file's size.
        PatchVersionUnsupported: another format version.
        LimitExceeded: the patch asks for more than `limits`.
    """
    section = Section(fd, 0, os.fstat(fd).st_size)
    header = _parse_header(section)
    _check_header(header, limits)
    index = _parse_index(section, header)
    _check_index(index, header, limits)
    if sum(entry.coded_bytes for entry in index.streams) != section.left:
        raise PatchMalformed("the patch is cut short, or something follows it")
    return Container(header, index, _HEADER.size + header.coded_index_bytes)


def _parse_header(section: Section) -> Header:
    if section.left < _PREFIX.size:
        raise PatchMalformed("the file is too short for a patch")
    prefix = section.read_exactly(_PREFIX.size)
    magic, version, flags = _PREFIX.unpack(prefix)
    if magic != MAGIC:
        raise PatchMalformed("the file does not begin like a patch")
    if version not in READABLE_VERSIONS:
        raise PatchVersionUnsupported(version, READABLE_VERSIONS)
    if flags & ~_HAS_BASE:
        raise PatchMalformed(f"unknown flags {flags:#06x}")
    fields = _HEADER.unpack(prefix + section.read_exactly(_HEADER.size - _PREFIX.size))
    window_bytes, base_size, base_digest, target_size, target_digest, *counts = fields[3:]
    base = Identity(base_digest.hex(), base_size) if flags & _HAS_BASE else None
    if base is None and (base_size or any(base_digest)):
        raise PatchMalformed("a packed patch names a base")
    return Header(version, base, Identity(target_digest.hex(), target_size), window_bytes, *counts)


def _check_header(header: Header, limits: Limits) -> None:
    limits.check("output_bytes", header.target.size_bytes)
    limits.check("window_bytes", header.window_bytes)
    limits.check("table_bytes", header.table_bytes)
    limits.check("streams", header.streams)
    limits.check("spans", header.spans)
    limits.check("index_bytes", header.index_bytes)
    limits.check("index_bytes", header.coded_index_bytes)
    if header.window_bytes < MIN_WINDOW_BYTES or header.window_bytes % _ALIGNMENT:
        raise PatchMalformed(f"the window of {header.window_bytes} bytes is too small or not aligned")
    if header.table_bytes and not header.streams:
        raise PatchMalformed("a table needs a stream to come from")


def _parse_index(section: Section, header: Header) -> Index:
    coded = section.read_exactly(header.coded_index_bytes)
    numbers = varints.decode(np.frombuffer(zstd.decompress(coded, header.index_bytes), np.uint8))
    column = _Columns(numbers)
    streams = tuple(StreamEntry(*row) for row in column.rows(header.streams, _STREAM_FIELDS))
    if header.version == format_v1.VERSION:
        predictors, lengths = column.take(header.spans), column.take(header.spans)
        spans = format_v1.translate(predictors, lengths, column.rest())
        return Index(streams, (), (), spans.predictors, spans.corrections, lengths, spans.operands)
    layouts = tuple(_parse_layout(column) for _ in range(column.one()))
    contexts = tuple(ContextModel(*row) for row in column.rows(column.one(), _CONTEXT_FIELDS))
    predictors, corrections, lengths = (column.take(header.spans) for _ in range(3))
    return Index(streams, layouts, contexts, predictors, corrections, lengths, column.rest())


class _Columns:
    """The integers of the index, taken from the front."""

    def __init__(self, numbers: varints.Integers) -> None:
        self._numbers = numbers

    def take(self, count: int) -> varints.Integers:
        if count > self._numbers.size:
            raise PatchMalformed("the index has fewer numbers than it needs")
        taken, self._numbers = self._numbers[:count], self._numbers[count:]
        return taken

    def one(self) -> int:
        return int(self.take(1)[0])

    def rows(self, count: int, width: int) -> list[list[int]]:
        rows: list[list[int]] = self.take(count * width).reshape(-1, width).tolist()
        return rows

    def rest(self) -> varints.Integers:
        return self.take(self._numbers.size)


def _parse_layout(column: _Columns) -> Layout:
    axes = column.one()
    if axes > MAX_AXES:
        raise PatchMalformed(f"a layout has {axes} axes, at most {MAX_AXES} are allowed")
    extents, strides = (tuple(column.take(axes).tolist()) for _ in range(2))
    steps = column.take(column.one()).tolist()
    return Layout(extents, strides, tuple(accumulate(map(varints.unfold, steps))))


def _check_index(index: Index, header: Header, limits: Limits) -> None:
    for entry in index.streams:
        entry.check()
        if entry.kind == BLOCKS:
            limits.check("window_bytes", entry.block_items * entry.item_type.itemsize)
    limits.check("buffer_bytes", sum(entry.buffer_bytes for entry in index.streams))
    for layout in index.layouts:
        layout.check()
    for model in index.contexts:
        model.check()
    predicted = {number: len(predictor.operands) for number, predictor in PREDICTORS.items()}
    corrected = {number: len(correction.operands) for number, correction in CORRECTIONS.items()}
    needed = _operands_of("predictor", index.predictors, predicted)
    needed += _operands_of("correction", index.corrections, corrected)
    if needed != index.operands.size:
        raise PatchMalformed("the index has another number of operands than its spans need")
    lengths = index.lengths.tolist()
    if sum(lengths) != header.target.size_bytes or 0 in lengths:
        raise PatchMalformed("the spans do not add up to the output")


def _operands_of(kind: str, numbers: varints.Integers, arity: dict[int, int]) -> int:
    """How many operands the spans of a column have together."""
    found, counts = np.unique(numbers, return_counts=True)
    unknown = [number for number in found.tolist() if number not in arity]
    if unknown:
        raise PatchMalformed(f"unknown {kind} {unknown[0]}")
    return sum(arity[number] * count for number, count in zip(found.tolist(), counts.tolist(), strict=True))


def serialise_index(
    streams: Sequence[StreamEntry], layouts: Sequence[Layout], contexts: Sequence[ContextModel], spans: Sequence[Span]
) -> bytes:
    """The index before compression; the inverse of `_parse_index` and `Index.spans`."""
    numbers = [number for entry in streams for number in astuple(entry)]
    numbers.append(len(layouts))
    for layout in layouts:
        numbers += [len(layout.extents), *layout.extents, *layout.strides, len(layout.starts)]
        numbers += [varints.fold(start - before) for before, start in pairwise((0, *layout.starts))]
    numbers.append(len(contexts))
    numbers += [number for model in contexts for number in astuple(model)]
    numbers += [span.predictor for span in spans]
    numbers += [span.correction for span in spans]
    numbers += [span.length for span in spans]
    base_end = 0
    for span in spans:
        operands = list(span.operands)
        if PREDICTORS[span.predictor].reads_base:
            operands[0] = varints.fold(span.operands[0] - base_end)
            base_end = span.operands[0] + span.length
        numbers += operands
        numbers += span.correction_operands
    return varints.encode(numbers)
