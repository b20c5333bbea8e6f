"""The container: header, index (streams, layouts, contexts, spans), then the streams; see `docs/formats.md`.

Sizes are checked against the caller's limits before the memory for them is taken. What a span *does* is the predictors'
and corrections' business; here it has their numbers, a length and operands. Version 1 is read by `format_v1`.
"""

import os
import struct
from collections.abc import Collection, Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from enum import IntEnum
from itertools import accumulate, pairwise

import numpy as np

from delta import format_v1, varints
from delta.arrays import Octets
from delta.coders import lzma_raw, zstd
from delta.contexts import ContextModel
from delta.corrections import CORRECTIONS
from delta.errors import PatchMalformed, PatchVersionUnsupported
from delta.formulas import OPERATIONS, Formula
from delta.formulas.evaluation import check_formulas
from delta.layouts import MAX_AXES, Layout
from delta.limits import Limits
from delta.predictors import PREDICTORS
from delta.spans import Span
from delta.streams import BLOCKS, Section, StreamEntry
from delta.text import codec
from delta.versions import READABLE_VERSIONS

MAGIC = b"\x89SFD\r\n\x1a\n"
"""As PNG's (RFC 2083 section 12.11): no text, and broken by transfers that change line ends."""

_PREFIX = struct.Struct("<8sHH")
_HEADER = struct.Struct("<8sHHIQ32sQ32sIIIII")
_HAS_BASE, _INDEX_IS_TEXT, _INDEX_IS_LZMA = 1, 2, 4
_STREAM_FIELDS = 5
_CONTEXT_FIELDS = 10
_ALIGNMENT = 64
_BATCH_SPANS = 1 << 12
MIN_WINDOW_BYTES = 4096
MAX_TEXT_INDEX_BYTES = 1 << 13
"""An index that is coded as a text has no more, so that it is decoded in half a second."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A plain file, known by its digest."""

    sha256: str
    size_bytes: int

    def __str__(self) -> str:
        return f"sha256 {self.sha256} ({self.size_bytes} bytes)"


class IndexCoding(IntEnum):
    """How the index is coded: as bits of the header's flags."""

    ZSTD = 0
    TEXT = _INDEX_IS_TEXT
    LZMA = _INDEX_IS_LZMA


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
    index_coding: IndexCoding = IndexCoding.ZSTD

    def serialise(self) -> bytes:
        """The header's bytes."""
        base = self.base or Identity("00" * 32, 0)
        return _HEADER.pack(
            MAGIC,
            self.version,
            (_HAS_BASE if self.base else 0) | self.index_coding,
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
    """What the spans share, and the spans in the order of the output, kept in columns because there may be many.

    `operands` are LEB128 integers still, and those of `version`.
    """

    version: int
    streams: tuple[StreamEntry, ...]
    layouts: tuple[Layout, ...]
    contexts: tuple[ContextModel, ...]
    predictors: varints.Integers
    corrections: varints.Integers
    lengths: varints.Integers
    operands: Octets
    formulas: tuple[Formula, ...] = ()

    def spans(self) -> Iterator[Span]:
        """The spans, one at a time, with the offsets in the base made absolute."""
        base_end = 0
        for number, correction, length, numbers in self._rows():
            predictor = PREDICTORS[number]
            operands = numbers[: len(predictor.operands)]
            if predictor.reads_base:
                operands[0] = base_end + varints.unfold(operands[0])
                base_end = operands[0] + length
            yield Span(number, length, tuple(operands), correction, tuple(numbers[len(predictor.operands) :]))

    def _rows(self) -> Iterator[tuple[int, int, int, list[int]]]:
        """Predictor, correction, length and operands of each span."""
        counts = self.operand_counts()
        operands = varints.Reader(self.operands)
        for first in range(0, self.lengths.size, _BATCH_SPANS):
            batch = slice(first, first + _BATCH_SPANS)
            numbers = operands.take(int(counts[batch].sum())).tolist()
            columns = (self.predictors[batch], self.corrections[batch], self.lengths[batch], counts[batch])
            at = 0
            for predictor, correction, length, count in zip(*(column.tolist() for column in columns), strict=True):
                own = numbers[at : at + count]
                at += count
                if self.version == format_v1.VERSION:
                    own = format_v1.operands_today(predictor, correction, own)
                yield predictor, correction, length, own

    def operand_counts(self) -> varints.Integers:
        """How many operands each span has in this version."""
        counted = format_v1.operand_count if self.version == format_v1.VERSION else _operand_count
        base = max(CORRECTIONS) + 1
        pairs = self.predictors * base + self.corrections
        counts = np.zeros((max(PREDICTORS) + 1) * base, np.int64)
        for pair in _present(pairs):
            counts[pair] = counted(*divmod(pair, base))
        own: varints.Integers = counts[pairs]
        return own


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
    index = _parse_index(section, header, limits)
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
    if flags & ~_known_flags(version):
        raise PatchMalformed(f"unknown flags {flags:#06x}")
    fields = _HEADER.unpack(prefix + section.read_exactly(_HEADER.size - _PREFIX.size))
    window_bytes, base_size, base_digest, target_size, target_digest, *counts = fields[3:]
    base = Identity(base_digest.hex(), base_size) if flags & _HAS_BASE else None
    if base is None and (base_size or any(base_digest)):
        raise PatchMalformed("a packed patch names a base")
    target = Identity(target_digest.hex(), target_size)
    header = Header(version, base, target, window_bytes, *counts)
    return replace(header, index_coding=_index_coding(flags))


def _index_coding(flags: int) -> IndexCoding:
    try:
        return IndexCoding(flags & ~_HAS_BASE)
    except ValueError as error:
        raise PatchMalformed("the index is coded in two ways") from error


def _known_flags(version: int) -> int:
    return _HAS_BASE if version == format_v1.VERSION else _HAS_BASE | _INDEX_IS_TEXT | _INDEX_IS_LZMA


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


def _parse_index(section: Section, header: Header, limits: Limits) -> Index:
    coded = section.read_exactly(header.coded_index_bytes)
    plain = decode_index(coded, header.index_bytes, header.index_coding)
    numbers = varints.Reader(np.frombuffer(plain, np.uint8))
    streams = tuple(StreamEntry(*row) for row in numbers.rows(header.streams, _STREAM_FIELDS))
    if header.version == format_v1.VERSION:
        predictors, corrections = format_v1.methods_today(numbers.take(header.spans))
        lengths = numbers.take(header.spans)
        return Index(header.version, streams, (), (), predictors, corrections, lengths, numbers.rest)
    layouts = _parse_layouts(numbers, limits)
    contexts = tuple(ContextModel(*row) for row in numbers.rows(_counted(numbers, "contexts", limits), _CONTEXT_FIELDS))
    formulas = tuple(_parse_formula(numbers) for _ in range(_counted(numbers, "formulas", limits)))
    predictors, corrections, lengths = (numbers.take(header.spans) for _ in range(3))
    columns = (predictors, corrections, lengths, numbers.rest)
    return Index(header.version, streams, layouts, contexts, *columns, formulas)


def encode_index(plain: bytes, *, zstd_level: int, hard: bool) -> tuple[bytes, IndexCoding]:
    """The index in few bytes; `hard` tries what takes long."""
    ways = [(zstd.compress(plain, level=zstd_level), IndexCoding.ZSTD)]
    if hard and len(plain) <= MAX_TEXT_INDEX_BYTES:
        ways.append((codec.encode(plain), IndexCoding.TEXT))
    elif hard:
        ways.append((lzma_raw.compress(plain, position_bits=0, literal_bits=1), IndexCoding.LZMA))
    return min(ways, key=lambda way: len(way[0]))


def decode_index(coded: bytes, size: int, coding: IndexCoding) -> bytes:
    """The inverse of `encode_index`.

    Raises:
        PatchMalformed: `coded` is damaged, or holds another number of bytes than `size`.
    """
    if coding == IndexCoding.ZSTD:
        return zstd.decompress(coded, size)
    if coding == IndexCoding.LZMA:
        return lzma_raw.decompress(coded, size)
    if size > MAX_TEXT_INDEX_BYTES:
        raise PatchMalformed("the index is too long for a text")
    return codec.decode(coded, size)


def _counted(numbers: varints.Reader, what: str, limits: Limits) -> int:
    count = numbers.one()
    limits.check(what, count)
    return count


def _parse_layouts(numbers: varints.Reader, limits: Limits) -> tuple[Layout, ...]:
    layouts = []
    starts = 0
    for _ in range(_counted(numbers, "layouts", limits)):
        axes = numbers.one()
        if axes > MAX_AXES:
            raise PatchMalformed(f"a layout has {axes} axes, at most {MAX_AXES} are allowed")
        extents, strides = (tuple(numbers.take(axes).tolist()) for _ in range(2))
        own = numbers.one()
        starts += own
        limits.check("layout_starts", starts)
        steps = numbers.take(own).tolist()
        bounded = numbers.one()
        if bounded > MAX_AXES:
            raise PatchMalformed(f"a layout has {bounded} bounds, at most {MAX_AXES} are allowed")
        bounds = tuple(numbers.take(bounded).tolist())
        layouts.append(Layout(extents, strides, tuple(accumulate(map(varints.unfold, steps))), bounds))
    return tuple(layouts)


def _parse_formula(numbers: varints.Reader) -> Formula:
    number = numbers.one()
    if number not in OPERATIONS:
        raise PatchMalformed(f"unknown operation {number}")
    return Formula(number, tuple(numbers.take(len(OPERATIONS[number].operands)).tolist()))


def _check_index(index: Index, header: Header, limits: Limits) -> None:
    for entry in index.streams:
        entry.check()
        if index.version == format_v1.VERSION and entry.kind not in format_v1.STREAM_KINDS:
            raise PatchMalformed(f"version {index.version} has no streams of kind {entry.kind}")
        if entry.kind == BLOCKS:
            limits.check("window_bytes", entry.block_items * entry.item_type.itemsize)
    limits.check("buffer_bytes", sum(entry.buffer_bytes for entry in index.streams))
    for layout in index.layouts:
        layout.check()
    for model in index.contexts:
        model.check()
    check_formulas(index.formulas)
    _check_known("predictor", index.predictors, PREDICTORS)
    _check_known("correction", index.corrections, CORRECTIONS)
    if int(index.operand_counts().sum()) != varints.Reader(index.operands).left:
        raise PatchMalformed("the index has another number of operands than its spans need")
    if _exact_sum(index.lengths) != header.target.size_bytes or not index.lengths.all():
        raise PatchMalformed("the spans do not add up to the output")


def _operand_count(predictor: int, correction: int) -> int:
    return len(PREDICTORS[predictor].operands) + len(CORRECTIONS[correction].operands)


def _exact_sum(lengths: varints.Integers) -> int:
    """Their sum, which may be more than 2^63."""
    return (int((lengths >> 32).sum()) << 32) + int((lengths & 0xFFFFFFFF).sum())


def _check_known(kind: str, numbers: varints.Integers, known: Collection[int]) -> None:
    highest = int(numbers.max(initial=0))
    unknown = [highest] if highest > max(known) else [number for number in _present(numbers) if number not in known]
    if unknown:
        raise PatchMalformed(f"unknown {kind} {unknown[0]}")


def _present(numbers: varints.Integers) -> list[int]:
    """Which small numbers there are. `numpy.unique` would do, but makes a device import a third more of numpy."""
    present: list[int] = np.flatnonzero(np.bincount(numbers)).tolist()
    return present


def serialise_index(
    streams: Sequence[StreamEntry],
    layouts: Sequence[Layout],
    contexts: Sequence[ContextModel],
    spans: Sequence[Span],
    formulas: Sequence[Formula] = (),
) -> bytes:
    """The index before compression; the inverse of `_parse_index` and `Index.spans`."""
    numbers = [number for entry in streams for number in astuple(entry)]
    numbers.append(len(layouts))
    for layout in layouts:
        numbers += [len(layout.extents), *layout.extents, *layout.strides, len(layout.starts)]
        numbers += [varints.fold(start - before) for before, start in pairwise((0, *layout.starts))]
        numbers += [len(layout.bounds), *layout.bounds]
    numbers.append(len(contexts))
    numbers += [number for model in contexts for number in astuple(model)]
    numbers.append(len(formulas))
    for formula in formulas:
        numbers += [formula.operation, *formula.operands]
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
