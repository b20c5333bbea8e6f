"""The container: header, index (streams and spans), then the streams. The byte tables are in `docs/formats.md`.

Sizes are checked against the caller's limits before the memory for them is taken. What a span *does* is the predictors'
business; here it has a number, a length and operands.
"""

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from delta import varints
from delta.coders import zstd
from delta.errors import PatchMalformed, PatchVersionUnsupported
from delta.limits import Limits
from delta.predictors import PREDICTORS, Span
from delta.streams import Section, StreamEntry

MAGIC = b"\x89SFD\r\n\x1a\n"
"""As PNG's (RFC 2083 section 12.11): no text, and broken by transfers that change line ends."""
FORMAT_VERSION = 1
READABLE_VERSIONS = (1,)

_PREFIX = struct.Struct("<8sHH")
_HEADER = struct.Struct("<8sHHIQ32sQ32sIIIII")
_HAS_BASE = 1
_STREAM_FIELDS = 5
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

    base: Identity | None
    target: Identity
    window_bytes: int
    table_bytes: int
    streams: int
    spans: int
    index_bytes: int
    coded_index_bytes: int

    def serialise(self) -> bytes:
        """The header's bytes in format version `FORMAT_VERSION`."""
        base = self.base or Identity("00" * 32, 0)
        return _HEADER.pack(
            MAGIC,
            FORMAT_VERSION,
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
    """All streams, and the spans in the order of the output, kept in columns because there may be many."""

    streams: tuple[StreamEntry, ...]
    predictors: varints.Integers
    lengths: varints.Integers
    operands: varints.Integers

    def spans(self) -> Iterator[Span]:
        """The spans, one at a time, with the offsets in the base made absolute."""
        base_end = 0
        at = 0
        for number, length in zip(self.predictors.tolist(), self.lengths.tolist(), strict=True):
            predictor = PREDICTORS[number]
            operands = self.operands[at : at + len(predictor.operands)].tolist()
            at += len(operands)
            if predictor.reads_base:
                operands[0] = base_end + varints.unfold(operands[0])
                base_end = operands[0] + length
            yield Span(number, length, tuple(operands))


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
    return Header(base, Identity(target_digest.hex(), target_size), window_bytes, *counts)


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
    fixed = header.streams * _STREAM_FIELDS
    if numbers.size < fixed + 2 * header.spans:
        raise PatchMalformed("the index has fewer numbers than streams and spans need")
    rows = numbers[:fixed].reshape(-1, _STREAM_FIELDS).tolist()
    predictors, lengths, operands = np.split(numbers[fixed:], (header.spans, 2 * header.spans))
    return Index(tuple(StreamEntry(*row) for row in rows), predictors, lengths, operands)


def _check_index(index: Index, header: Header, limits: Limits) -> None:
    for entry in index.streams:
        entry.check()
        limits.check("window_bytes", entry.block_items * entry.item_type.itemsize)
    limits.check("buffer_bytes", sum(entry.buffer_bytes for entry in index.streams))
    known = max(PREDICTORS) + 1
    if index.predictors.size and int(index.predictors.max()) >= known:
        raise PatchMalformed(f"unknown predictor {int(index.predictors.max())}")
    arity = np.array([len(PREDICTORS[number].operands) for number in range(known)], np.int64)
    if int(arity[index.predictors].sum()) != index.operands.size:
        raise PatchMalformed("the index has another number of operands than its spans need")
    lengths = index.lengths.tolist()
    if sum(lengths) != header.target.size_bytes or 0 in lengths:
        raise PatchMalformed("the spans do not add up to the output")


def serialise_index(streams: Sequence[StreamEntry], spans: Sequence[Span]) -> bytes:
    """The index before compression; the inverse of `_parse_index` and `Index.spans`."""
    numbers = [
        number for entry in streams
        for number in (entry.kind, entry.item, entry.items, entry.coded_bytes, entry.block_items)
    ]  # fmt: skip
    numbers += [span.predictor for span in spans]
    numbers += [span.length for span in spans]
    base_end = 0
    for span in spans:
        operands = list(span.operands)
        if PREDICTORS[span.predictor].reads_base:
            operands[0] = varints.fold(span.operands[0] - base_end)
            base_end = span.operands[0] + span.length
        numbers += operands
    return varints.encode(numbers)
