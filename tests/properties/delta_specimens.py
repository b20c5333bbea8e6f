"""Small patches that together use everything the format has: what mutation and fuzzing begin with.

Most are laid out by hand, so that they stay what they are whatever the encoder learns to prefer; the encoder makes those
whose operands nobody should write by hand. `features` says what a patch uses, so a test can ask for all of it.
"""

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from delta import varints
from delta.arrays import ITEM_TYPES, Items, unsigned
from delta.coders import CODERS, lzma_raw, pco, planes, stored, zstd
from delta.coders.lzma_raw import history_bytes
from delta.contexts import FLOAT_MAGNITUDE, INTEGER_MAGNITUDE, NO_SHIFTS, NOTHING, PATTERN, ContextModel, Shifts
from delta.corrections.add import Add
from delta.corrections.changes import Changes
from delta.corrections.ordered import Ordered
from delta.corrections.palette import Palette
from delta.corrections.steps import Steps
from delta.encoder import Effort, encode
from delta.encoder.coded import CodedWriter
from delta.encoder.effort import SETTINGS
from delta.entropy.symbols import Mapping
from delta.errors import OutputMismatch
from delta.floats import FLOAT16, FLOAT32
from delta.format import Header, Identity, serialise_index
from delta.formulas import OPERATIONS, Formula
from delta.formulas.converted import Clipped, Rounded, Truncated
from delta.formulas.folded import FoldedBias, Gains, Multiplied, NewBias
from delta.formulas.quantised import BiasCodes, Codes, Nibbles, Scaled, Scales, ZeroPoints
from delta.formulas.stored import Stored
from delta.layouts import Layout
from delta.predictors.computed import Computed
from delta.predictors.copy import Copy
from delta.predictors.literal import Literal
from delta.predictors.low_rank import LowRank
from delta.predictors.relaid import Relaid
from delta.predictors.table import Table
from delta.predictors.text import Text
from delta.predictors.varints import Varints
from delta.predictors.zeros import Zeros
from delta.spans import Span
from delta.streams import BLOCK_HEADER, BLOCKS, FRAME, LZMA, STORED, TEXT, StreamEntry
from delta.text import primed
from delta.versions import FORMAT_VERSION
from tests.delta.conftest import Models, build
from tests.properties.delta_mutation import Specimen, load, restored

GOLDEN = Path(__file__).parents[1] / "formats"
_NUMBERS = np.random.default_rng(31)
_WEIGHTS = _NUMBERS.normal(0, 0.1, 1536).astype("<f4")


@dataclass(slots=True)
class _Sheet:
    """A patch being laid out by hand. The table is stream 0."""

    base: bytes
    table: bytes
    spans: list[Span] = field(default_factory=list)
    streams: list[tuple[StreamEntry, bytes]] = field(default_factory=list)
    contexts: list[ContextModel] = field(default_factory=list)
    layouts: list[Layout] = field(default_factory=list)
    formulas: list[Formula] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.frame(np.frombuffer(self.table, np.uint8))

    def stored(self, items: Items) -> int:
        return self._stream(STORED, items, items.tobytes(), 0)

    def frame(self, items: Items) -> int:
        return self._stream(FRAME, items, zstd.compress(items.tobytes(), level=3), 0)

    def lzma(self, items: Items) -> int:
        return self._stream(
            LZMA, items, lzma_raw.compress(items.tobytes(), position_bits=2), history_bytes(items.nbytes)
        )

    def text(self, text: bytes, ranges: Sequence[primed.Range]) -> int:
        """A text after ranges of the base."""
        primer = b"".join(self.base[offset : offset + length] for offset, length in ranges)
        return self._stream(TEXT, np.frombuffer(text, np.uint8), primed.write(text, ranges, primer), len(primer))

    def blocks(self, items: Items, numbers: Sequence[int]) -> int:
        """One block with each of these coders."""
        body = b""
        for number, part in zip(numbers, np.array_split(items, len(numbers)), strict=True):
            coded = CODERS[number].encode(part, level=8)
            assert coded is not None
            body += BLOCK_HEADER.pack(number, part.size, len(coded)) + coded
        return self._stream(BLOCKS, items, body, items.size)

    def coded(self, items: Items, mapping: Mapping, model: ContextModel, predicted: Items) -> tuple[int, int]:
        """A stream in the contexts of `model`; its number and the model's."""
        writer = CodedWriter(ITEM_TYPES.index(items.dtype), mapping, SETTINGS[Effort.MAX])
        writer.first_context("", model.first + model.count)
        shifts = (
            self._shifts(model.shifts_at, model.channels),
            self._shifts(model.second_shifts_at, model.second_channels),
        )
        writer.add(items, model.of(predicted, 0, *shifts))
        entry, parts = writer.finish()
        self.streams.append((entry, b"".join(parts)))
        self.contexts.append(model)
        return len(self.streams) - 1, len(self.contexts)

    def _shifts(self, offset: int, channels: int) -> Shifts:
        return np.frombuffer(self.table, "<i2", channels, offset) if channels else NO_SHIFTS

    def _stream(self, kind: int, items: Items, body: bytes, block_items: int) -> int:
        number = ITEM_TYPES.index(items.dtype)
        self.streams.append((StreamEntry(kind, number, items.size, len(body), block_items), body))
        return len(self.streams) - 1

    def finished(self, name: str) -> Specimen:
        """The patch; its target is what the decoder restores."""
        entries = [entry for entry, _ in self.streams]
        index = serialise_index(entries, self.layouts, self.contexts, self.spans, self.formulas)
        coded = zstd.compress(index, level=3)
        header = Header(
            version=FORMAT_VERSION,
            base=Identity(hashlib.sha256(self.base).hexdigest(), len(self.base)),
            target=Identity("00" * 32, sum(span.length for span in self.spans)),
            window_bytes=1 << 14,
            table_bytes=len(self.table),
            streams=len(self.streams),
            spans=len(self.spans),
            index_bytes=len(index),
            coded_index_bytes=len(coded),
        )
        bodies = b"".join(body for _, body in self.streams)
        patch = header.serialise() + coded + bodies
        with tempfile.TemporaryDirectory() as folder:
            try:
                restored(self.base, patch, Path(folder))
            except OutputMismatch as mismatch:
                header = replace(header, target=replace(header.target, sha256=mismatch.actual))
            patch = header.serialise() + coded + bodies
            return Specimen(name, self.base, patch, restored(self.base, patch, Path(folder)))


def _in_blocks() -> Specimen:
    """Every coder, every item type, differences of every kind that needs no contexts."""
    sheet = _Sheet(_WEIGHTS.tobytes(), np.sort(_WEIGHTS[:16]).tobytes())
    for item in ITEM_TYPES:
        items = (_NUMBERS.normal(0, 20, 96)).astype(item)
        able = [number for number, coder in CODERS.items() if coder.encode(items[:8], level=8) is not None]
        sheet.spans.append(Span(Literal.number, items.nbytes, (sheet.blocks(items, able), 0)))
    steps = _NUMBERS.integers(-90, 90, 512).astype("<i4")
    for correction in (Add.number, Ordered.number):
        stream = sheet.blocks(steps, (pco.NUMBER, planes.NUMBER, stored.NUMBER, zstd.NUMBER))
        sheet.spans.append(Span(Copy.number, steps.nbytes, (0,), correction, (stream, 0)))
    sheet.spans.append(Span(Copy.number, 512, (64,), Add.number, (sheet.frame(np.frombuffer(bytes(512), np.uint8)), 0)))
    sheet.spans.append(Span(Copy.number, 1024, (8,), Ordered.number, (sheet.stored(steps.astype("<i2")), 0)))
    codes = sheet.blocks(steps.astype("<i1"), (pco.NUMBER,))
    sheet.spans.append(Span(Copy.number, 2048, (2048,), Steps.number, (codes, 0, 0x38D1B717)))
    picks = sheet.stored(_NUMBERS.integers(0, 16, 256).astype("<u2"))
    sheet.spans.append(Span(Zeros.number, 1024, (), Palette.number, (picks, 0, 0, 16, ITEM_TYPES.index("<f4"))))
    sheet.spans.append(Span(Table.number, 48, (16,)))
    return sheet.finished("blocks")


def _in_contexts() -> Specimen:
    """Every mapping, every level, channels with shifts, and corrections in context."""
    palette = np.sort(_WEIGHTS[:16])
    shifts = np.array([0, 2, -1, 5], "<i2")
    sheet = _Sheet(_WEIGHTS.tobytes(), palette.tobytes() + shifts.tobytes())
    bits = _WEIGHTS.view("<u4")
    steps = (_NUMBERS.normal(0, 1, 1536) * np.exp(_NUMBERS.normal(0, 2, 1536))).astype("<i4")
    steps[5] = np.iinfo("<i4").min
    model = ContextModel(FLOAT_MAGNITUDE, 22, 0, 600, palette.nbytes, 4, 16, palette.nbytes + 2, 3, 1)
    drawn = sheet.coded(steps, Mapping.TOKENS, model, bits)
    sheet.spans.append(Span(Copy.number, 6144, (0,), Ordered.number, drawn))
    small = _NUMBERS.integers(-3, 4, 1024).astype("<i1")
    drawn = sheet.coded(small, Mapping.TOKENS, ContextModel(PATTERN, 25, 3, 128), bits[:1024])
    sheet.spans.append(Span(Copy.number, 4096, (0,), Steps.number, (*drawn, 0x3A83126F)))
    drawn = sheet.coded(small, Mapping.DIRECT, ContextModel(INTEGER_MAGNITUDE, 4, 0, 8), bits.view(np.uint8)[:1024])
    sheet.spans.append(Span(Copy.number, 1024, (0,), Add.number, drawn))
    zeros = np.zeros(512, "<u4")
    drawn = sheet.coded(
        _NUMBERS.integers(0, 16, 512).astype("<u1"), Mapping.DIRECT, ContextModel(NOTHING, 0, 0, 1), zeros
    )
    item = ITEM_TYPES.index("<f4")
    sheet.spans.append(Span(Zeros.number, 2048, (), Palette.number, (*drawn, 0, 16, item)))
    for float_type in ("<f4", "<f2"):
        floats = _WEIGHTS[:700].astype(float_type)
        predicted = np.zeros(700, unsigned(floats.itemsize))
        model = ContextModel(NOTHING, 0, 0, 6, shifts_at=palette.nbytes, channels=4, inner=175)
        drawn = sheet.coded(floats, Mapping.SPLIT, model, predicted)
        sheet.spans.append(Span(Literal.number, floats.nbytes, drawn))
    return sheet.finished("contexts")


def _relaid() -> Specimen:
    """Layouts: transposed in two and three axes, and blocks that start anywhere."""
    sheet = _Sheet(_WEIGHTS.tobytes(), bytes(4))
    sheet.layouts += [
        Layout((48, 32), (1, 48)),
        Layout((4, 16, 24), (24, 96, 1)),
        Layout((24,), (1,), tuple(96 * row for row in (3, 1, 2, 0, 9, 15))),
        Layout((3, 5), (7, 1), (400, 0, 64)),
    ]
    for number, layout in enumerate(sheet.layouts, 1):
        for width in (4, 2):
            item = ITEM_TYPES.index(f"<u{width}")
            sheet.spans.append(Span(Relaid.number, layout.items * width, (0, number, item)))
    steps = np.arange(-768, 768).astype("<i4")
    sheet.spans.append(Span(Relaid.number, 6144, (0, 1, ITEM_TYPES.index("<u4")), Add.number, (sheet.stored(steps), 0)))
    return sheet.finished("relaid")


def _computed() -> Specimen:
    """A span of every operation of formulas, and varints of the base."""
    sheet = _Sheet(_WEIGHTS.tobytes(), bytes(4))
    stored_at = partial(Formula, Stored.number)
    grid = {"weights": 0, "count": 384, "channels": 8, "inner": 48, "code_type": 0, "below": 127, "above": 127}
    listed: list[tuple[Formula, str, int]] = [
        (stored_at((0, 0, FLOAT32)), "<f4", 384),
        (Formula(Rounded.number, (0, FLOAT16)), "<f2", 384),
        (Formula(Truncated.number, (0,)), "<u2", 384),
        (Formula(Clipped.number, (0, 0x33800000, 0x3DCCCCCD)), "<f4", 384),
        (Formula(Scales.number, tuple(grid.get(name, 0) for name in Scales.operands)), "<f4", 8),
        (Formula(ZeroPoints.number, (4,)), "<i1", 8),
        (Formula(Codes.number, (4,)), "<i1", 384),
        (Formula(Nibbles.number, (6, 383)), "<u1", 192),
        (Formula(Scaled.number, (4, 0x3F000000)), "<f4", 8),
        (Formula(BiasCodes.number, (0, 8, 8)), "<i4", 8),
        (stored_at((512, 0, FLOAT32)), "<f4", 8),
        (Formula(Clipped.number, (10, 0x3A000000, 0x3DCCCCCD)), "<f4", 8),
        (Formula(Gains.number, (0, 11, 0x3DCCCCCD)), "<f4", 8),
        (Formula(Multiplied.number, (0, 12, 8, 48)), "<f4", 384),
        (Formula(FoldedBias.number, (0, 10, 12, 11)), "<f4", 8),
        (Formula(NewBias.number, (10, 12, 11)), "<f4", 8),
    ]
    for number, (formula, item, count) in enumerate(listed):
        missing = len(OPERATIONS[formula.operation].operands) - len(formula.operands)
        sheet.formulas.append(replace(formula, operands=(*formula.operands, *[0] * missing)))
        kind = ITEM_TYPES.index(np.dtype(item))
        sheet.spans.append(Span(Computed.number, count * ITEM_TYPES[kind].itemsize, (number, kind)))
    for kind in (ITEM_TYPES.index(np.dtype("<i1")), ITEM_TYPES.index(np.dtype("<u4"))):
        items = _WEIGHTS.view(ITEM_TYPES[kind])[:300]
        sheet.spans.append(Span(Varints.number, varints.from_items(items).size, (0, kind, items.size)))
    return sheet.finished("computed")


def _text() -> Specimen:
    """Texts with and without something before them, and lzma. Short, because a text takes 50 microseconds a byte."""
    graph = Models().fp32()[-400:]
    sheet = _Sheet(graph, bytes(4))
    for text, ranges in ((graph[200:250], ()), (graph[300:340][::-1] + graph[:60], ((0, 80), (120, 39)))):
        sheet.spans.append(Span(Literal.number, len(text), (sheet.text(text, ranges), 0)))
    sheet.spans.append(Span(Literal.number, 6144, (sheet.lzma(_WEIGHTS), 0)))
    return sheet.finished("text")


def _in_place() -> Specimen:
    """Spans whose stream has its place and not a number: the text, and changes of the base's bytes."""
    sheet = _Sheet(_WEIGHTS.tobytes(), bytes(4))
    sheet.text(b"three words, and then three", ())
    sheet.frame(np.arange(300, dtype=np.uint8) // 99)
    for length in (12, 15):
        sheet.spans.append(Span(Text.number, length, ()))
        sheet.spans.append(Span(Copy.number, 10 * length, (length,), Changes.number))
    sheet.spans.append(Span(Copy.number, 30, (9,), Changes.number))
    return sheet.finished("in-place")


def _low_rank() -> Specimen:
    """A change of low rank with scales and gains, and one without; both corrected."""
    sheet = _Sheet(_WEIGHTS.tobytes(), bytes(4))
    outer, rows, columns, rank = 2, 16, 48, 3
    length = rows + outer * columns
    steps = _NUMBERS.integers(-9, 9, _WEIGHTS.size)
    for scaled, item, correction in ((1, "<f4", Ordered.number), (0, "<f4", Ordered.number), (1, "<i1", Add.number)):
        count = (rank + scaled) * length + scaled * rows
        model = ContextModel(NOTHING, 0, 0, 1)
        factors = _NUMBERS.integers(-40, 40, count).astype("<i2")
        drawn = sheet.coded(factors, Mapping.TOKENS, model, np.zeros(count, "<u2"))
        operands = (0, 0, ITEM_TYPES.index(item), *drawn, outer, rows, columns, rank, scaled, scaled, 0x36000000)
        width = np.dtype(item).itemsize
        moved = sheet.stored(steps.astype(f"<i{width}"))
        sheet.spans.append(Span(LowRank.number, width * steps.size, operands, correction, (moved, 0)))
    return sheet.finished("low-rank")


def _encoded() -> list[Specimen]:
    """What the encoder makes of models in the relations that releases have; of one layer, so that there is little text."""
    weights = _NUMBERS.normal(0, 0.1, (32, 16, 3, 3)).astype(np.float32)
    tuned = (weights + _NUMBERS.normal(0, 1e-3, weights.shape)).astype(np.float32)
    fp32 = build({"w": weights})
    pairs = {
        "fine-tuned": (fp32, build({"w": tuned})),
        "quantised": (fp32, _quantised(weights)),
        "requantised": (_quantised(weights), _quantised(tuned)),
        "on-a-grid": (fp32, _quantised(weights, 1.13)),
        "halved": (fp32, build({"w": weights.astype(np.float16)})),
        "packed": (None, fp32),
        "transposed": (fp32, build({"w": np.ascontiguousarray(weights.transpose(1, 0, 2, 3))})),
    }
    made = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for pair, (base, new) in pairs.items():
            (folder / "base").write_bytes(base or b"")
            (folder / "new").write_bytes(new)
            encode(folder / "base" if base else None, folder / "new", folder / "patch")
            made.append(Specimen(pair, base, (folder / "patch").read_bytes(), new))
    return made


def _quantised(weights: NDArray[np.float32], wider: float = 1.0) -> bytes:
    """Codes with a scale for each channel, that of its peak, or one so much wider that does not follow from weights."""
    scales = (np.abs(weights).max((1, 2, 3)) * np.float32(wider) / np.float32(127)).astype(np.float32)
    codes = np.rint(weights / scales[:, None, None, None]).astype(np.int8)
    return build({"w_scale": scales, "w_zero_point": np.zeros(32, np.int8), "w_quantized": codes})


@cache
def specimens() -> list[Specimen]:
    """All of them, those that earlier versions wrote among them."""
    golden = [specimen for folder in sorted(GOLDEN.glob("delta_v*")) for specimen in load(folder)]
    return [
        _in_blocks(),
        _in_contexts(),
        _relaid(),
        _computed(),
        _text(),
        _in_place(),
        _low_rank(),
        *_encoded(),
        *golden,
    ]
