"""Patches that somebody made to cost a device its memory or its time, and what keeps each from it."""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pcodec import ChunkConfig, DeltaSpec, ModeSpec, PagingSpec, wrapped

from delta import decoder, varints
from delta.arrays import ITEM_NAMES, ITEM_TYPES, Items
from delta.coders import pco, stored, zstd
from delta.contexts import NOTHING, ContextModel
from delta.corrections.steps import Steps
from delta.decoder import Limits
from delta.effort import Effort
from delta.encoder import encode
from delta.encoder.coded import CodedWriter
from delta.encoder.effort import SETTINGS
from delta.entropy.stream import HEADER
from delta.entropy.symbols import Mapping
from delta.errors import LimitExceeded, PatchMalformed, WrongBase
from delta.floats import FLOAT32
from delta.format import Header, Identity, serialise_index
from delta.formulas import Formula
from delta.formulas.folded import Multiplied
from delta.formulas.quantised import Scales
from delta.formulas.stored import Stored
from delta.layouts import Layout
from delta.limits import KIB, MIB
from delta.predictors.computed import Computed
from delta.predictors.copy import Copy
from delta.predictors.literal import Literal
from delta.predictors.low_rank import LowRank
from delta.predictors.relaid import Relaid
from delta.predictors.zeros import Zeros
from delta.spans import Span
from delta.streams import BLOCK_HEADER, BLOCKS, CODED, FRAME, STORED, StreamEntry
from delta.versions import FORMAT_VERSION

_BYTE = ITEM_TYPES.index(np.dtype("<u1"))
_SINGLE = ITEM_TYPES.index(np.dtype("<f4"))
_SHORT = ITEM_TYPES.index(np.dtype("<i2"))
_APPLY = """
import json, sys
from pathlib import Path
from delta import decoder, errors
def peak():
    return int(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])
base, patch, out = (Path(name) if name else None for name in sys.argv[1:])
before, slug = peak(), None
try:
    decoder.apply(base, patch, out)
except errors.DeltaError as error:
    slug = error.slug
print(json.dumps([slug, peak() - before]))
"""


def patch_of(
    spans: list[Span],
    streams: list[tuple[StreamEntry, bytes]],
    *,
    base: bytes | None = None,
    layouts: tuple[Layout, ...] = (),
    contexts: tuple[ContextModel, ...] = (),
    formulas: tuple[Formula, ...] = (),
    index: bytes | None = None,
    spans_told: int | None = None,
    **fields: int,
) -> bytes:
    """A patch whose sizes agree, whatever is in it."""
    if index is None:
        index = serialise_index([entry for entry, _ in streams], layouts, contexts, spans, formulas)
    coded = zstd.compress(index, level=3)
    told: dict[str, Any] = {
        "version": FORMAT_VERSION,
        "window_bytes": MIB,
        "table_bytes": 0,
        "streams": len(streams),
        "spans": len(spans) if spans_told is None else spans_told,
        "index_bytes": len(index),
    } | fields
    header = Header(
        base=None if base is None else Identity("11" * 32, len(base)),
        target=Identity("00" * 32, sum(span.length for span in spans)),
        coded_index_bytes=len(coded),
        **told,
    )
    return header.serialise() + coded + b"".join(body for _, body in streams)


def apply_in_child(folder: Path, patch: bytes, base: bytes | None = None) -> tuple[str | None, int]:
    """The error's slug and the growth of memory in KiB, in a process of its own with 1 GiB of address space."""
    (folder / "patch").write_bytes(patch)
    if base is not None:
        (folder / "base").write_bytes(base)
    arguments = ["" if base is None else str(folder / "base"), str(folder / "patch"), str(folder / "out")]
    command = [sys.executable, "-W", "error", "-c", _APPLY, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=_limit_address_space)
    assert ended.returncode == 0, ended.stderr
    slug, growth_kib = json.loads(ended.stdout)
    assert not (folder / "out").exists()
    return slug, growth_kib


def _limit_address_space() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (1024 * MIB, 1024 * MIB))


def apply(folder: Path, patch: bytes, base: bytes | None = None, limits: Limits = Limits()) -> None:  # noqa: B008 - frozen
    (folder / "patch").write_bytes(patch)
    if base is not None:
        (folder / "base").write_bytes(base)
    decoder.apply(None if base is None else folder / "base", folder / "patch", folder / "out", limits=limits)


def byte_stream(kind: int, body: bytes, items: int, block_items: int = 0) -> tuple[StreamEntry, bytes]:
    return StreamEntry(kind, _BYTE, items, len(body), block_items), body


def lookback_chunk(window_log: int) -> bytes:
    """A pcodec chunk that declares so wide a window behind it."""
    items = np.tile(np.arange(40, dtype="<i4") ** 3, 30)
    config = ChunkConfig(
        delta_spec=DeltaSpec.try_lookback(), paging_spec=PagingSpec.exact_page_sizes([items.size]), enable_8_bit=True
    )
    file = wrapped.FileCompressor()
    chunk = file.chunk_compressor(items, config)
    meta = int.from_bytes(chunk.write_meta(), "little")
    size = len(chunk.write_meta())
    assert meta & 0xFF == 0x20, "classic mode, delta by lookback"
    meta = meta & ~(31 << 8) | (window_log - 1) << 8
    return bytes(file.write_header()) + meta.to_bytes(size, "little") + bytes(chunk.write_page(0))


def test_a_block_of_pcodec_that_looks_far_back_is_refused_before_it_takes_memory() -> None:
    """Pcodec would take 128 MiB for a window of 2^24, whatever the block's size, and abort the process without them."""
    restored = pco.decode(lookback_chunk(pco.MAX_LOOKBACK_LOG), np.dtype("<i4"), 1200)
    assert restored.tolist() == (np.tile(np.arange(40) ** 3, 30)).tolist()
    with pytest.raises(PatchMalformed, match=r"looks back 2\^24"):
        pco.decode(lookback_chunk(24), np.dtype("<i4"), 1200)


@pytest.mark.parametrize(
    ("mode", "item"),
    [
        (ModeSpec.try_int_mult(8), "<i4"),
        (ModeSpec.try_int_mult(8), "<u1"),
        (ModeSpec.try_float_mult(0.25), "<f4"),
        (ModeSpec.try_float_quant(4), "<f8"),
        (ModeSpec.try_dict(), "<i8"),
    ],
)
def test_a_window_of_pcodec_is_found_behind_every_mode(mode: ModeSpec, item: str) -> None:
    """The field of the window stands behind the mode's own, whose length differs: each width of it is skipped."""
    items = np.tile((np.arange(40) * 8 % 200).astype(item), 30)
    config = ChunkConfig(
        mode_spec=mode,
        delta_spec=DeltaSpec.try_lookback(),
        paging_spec=PagingSpec.exact_page_sizes([items.size]),
        enable_8_bit=True,
    )
    file = wrapped.FileCompressor()
    chunk = file.chunk_compressor(items, config)
    header, meta, page = bytes(file.write_header()), bytes(chunk.write_meta()), bytes(chunk.write_page(0))
    assert pco.decode(header + meta + page, items.dtype, items.size).tobytes() == items.tobytes()
    width, entries = 8 * items.itemsize, np.unique(items).size
    at = {1: 4 + width, 2: 4 + width, 3: 12, 4: 32 + entries * width}[meta[0] & 15]
    number = int.from_bytes(meta, "little")
    assert number >> at & 15 == 2, "delta by lookback"
    damaged = (number | 23 << at + 4).to_bytes(len(meta), "little")
    with pytest.raises(PatchMalformed, match="looks back"):
        pco.decode(header + damaged + page, items.dtype, items.size)


def test_a_dictionary_of_pcodec_has_no_more_items_than_a_block() -> None:
    meta = (4 | (pco.MAX_ITEMS + 1) << 4).to_bytes(4, "little")
    with pytest.raises(PatchMalformed, match="dictionary"):
        pco.decode(b"\x04\x01" + meta + bytes(100), np.dtype("<i4"), 100)


def test_many_blocks_of_one_item_take_no_memory_each(tmp_path: Path) -> None:
    """An array for each of a million items would take a hundred times their bytes."""
    count = 1 << 19
    body = (BLOCK_HEADER.pack(stored.NUMBER, 1, 1) + b"x") * count
    patch = patch_of([Span(Literal.number, count, (0, 0))], [byte_stream(BLOCKS, body, count, 1)], window_bytes=4 * MIB)
    slug, growth_kib = apply_in_child(tmp_path, patch)
    assert slug == "output-mismatch"
    assert growth_kib < 8 * KIB


def test_time_runs_out_within_one_draw(tmp_path: Path) -> None:
    count = 1 << 17
    body = (BLOCK_HEADER.pack(stored.NUMBER, 1, 1) + b"x") * count
    patch = patch_of([], [byte_stream(BLOCKS, body, count, 1)], table_bytes=count)
    with pytest.raises(LimitExceeded, match="wall_s"):
        apply(tmp_path, patch, limits=Limits(wall_s=0.02))


def test_time_runs_out_while_weights_are_looked_at_in_advance(tmp_path: Path) -> None:
    """Scales need all weights. Ten are needed for one item, each of weights that lie apart: 300,000 reads."""
    base = bytes(8 * MIB)
    count = 1 << 15
    apart = Layout((1,), (1,), tuple((7_919 * item) % (1 << 20) * 4 for item in range(count)))
    formulas = [Formula(Stored.number, (0, 1, FLOAT32))]
    for channels in range(1, 11):
        product = len(formulas) - 1
        told = {"weights": product + 1, "count": count, "channels": channels, "inner": 1, "below": 127, "above": 127}
        formulas.append(Formula(Stored.number, (4 * channels, 1, FLOAT32)))
        formulas.append(Formula(Scales.number, tuple(told.get(name, 0) for name in Scales.operands)))
        formulas.append(Formula(Multiplied.number, (product, product + 2, channels, 1)))
    spans = [Span(Zeros.number, 10 * count // 4, ()), Span(Computed.number, 4, (len(formulas) - 1, _SINGLE))]
    patch = patch_of(spans, [], base=base, layouts=(apart,), formulas=tuple(formulas))
    with pytest.raises(LimitExceeded, match="wall_s") as caught:
        apply(tmp_path, patch, base, Limits(wall_s=0.2))
    assert caught.value.__context__ is None, "it ended before the output was looked at"


def test_an_index_of_many_integers_is_not_unpacked_at_once(tmp_path: Path) -> None:
    """8 MiB of one-byte operands would be 64 MiB of integers."""
    index = serialise_index([], (), (), [Span(Literal.number, 1, (0, 0))]) + bytes(8 * MIB - 64)
    patch = patch_of([Span(Literal.number, 1, (0, 0))], [], index=index)
    slug, growth_kib = apply_in_child(tmp_path, patch)
    assert slug == "patch-malformed"
    assert growth_kib < 24 * KIB


@pytest.mark.parametrize(
    ("numbers", "limit"),
    [
        ([1 << 40], "layouts"),
        ([1, 1, 1, 1, 1 << 40], "layout_starts"),
        ([0, 1 << 40], "contexts"),
        ([0, 0, 1 << 40], "formulas"),
    ],
)
def test_lists_of_the_index_are_counted_before_they_are_made(tmp_path: Path, numbers: list[int], limit: str) -> None:
    index = varints.encode(numbers) + bytes(1 << 20)
    with pytest.raises(LimitExceeded) as caught:
        apply(tmp_path, patch_of([], [], index=index))
    assert caught.value.limit == limit


def test_lengths_whose_sum_wraps_around_do_not_add_up(tmp_path: Path) -> None:
    spans = [Span(Literal.number, 1 << 62, (0, 0))] * 4 + [Span(Literal.number, 5, (0, 0))]
    index = serialise_index([], (), (), spans)
    with pytest.raises(PatchMalformed, match="do not add up"):
        apply(tmp_path, patch_of([Span(Literal.number, 5, (0, 0))], [], index=index, spans_told=5))


def test_version_1_has_no_coded_streams(tmp_path: Path) -> None:
    index = varints.encode([CODED, _BYTE, 4, 4, 1 << 8, 1, 4, 0])
    patch = patch_of([Span(Literal.number, 4, (0, 0))], [byte_stream(CODED, b"four", 4)], index=index, version=1)
    with pytest.raises(PatchMalformed, match="version 1 has no streams of kind 3"):
        apply(tmp_path, patch)


def test_a_matrix_of_no_factors_takes_no_memory(tmp_path: Path) -> None:
    """Rank 0 needs no factors, so their number bounds nothing."""
    told = {"item": ITEM_TYPES.index(np.dtype("<f4")), "outer": 1, "rows": 1 << 33, "columns": 1}
    operands = tuple(told.get(name, 0) for name in LowRank.operands)
    stream = StreamEntry(STORED, _SHORT, 0, 0, 0), b""
    slug, growth_kib = apply_in_child(
        tmp_path, patch_of([Span(LowRank.number, 64, operands)], [stream], base=b"b" * 64), b"b" * 64
    )
    assert slug == "wrong-base"
    assert growth_kib < 4 * KIB


@pytest.mark.parametrize("stride", [1, 63, 1000, 4000, 70_000])
def test_items_that_lie_far_apart_are_gathered_in_little_memory(tmp_path: Path, stride: int) -> None:
    base = bytes(8 * MIB)
    count = min(1 << 20, len(base) // stride)
    layout = Layout((count,), (stride,))
    patch = patch_of(
        [Span(Relaid.number, count, (0, 1, _BYTE))], [], base=base, layouts=(layout,), window_bytes=4 * MIB
    )
    slug, growth_kib = apply_in_child(tmp_path, patch, base)
    assert slug == "wrong-base"
    assert growth_kib < 12 * KIB


@pytest.mark.parametrize("kind", ["frame", "blocks", "coded-words", "coded-bits"])
def test_bytes_that_nothing_draws_are_malformed(tmp_path: Path, kind: str) -> None:
    """Every stream ends where its items do, so a patch has one form and carries nothing else."""
    plain = b"twelve bytes"
    span = Span(Literal.number, len(plain), (0, 0))
    contexts: tuple[ContextModel, ...] = ()
    if kind == "frame":
        stream = byte_stream(FRAME, zstd.compress(plain + b"!", level=3), len(plain))
    elif kind == "blocks":
        body = BLOCK_HEADER.pack(stored.NUMBER, len(plain) + 1, len(plain) + 1) + plain + b"!"
        stream = byte_stream(BLOCKS, body, len(plain), 99)
    else:
        items = np.frombuffer(plain * 50, np.int8).astype("<i2")
        entry, body = coded_stream(items, extra_words=kind == "coded-words", extra_bits=kind == "coded-bits")
        stream = entry, body
        span, contexts = Span(Literal.number, items.nbytes, (0, 1)), (ContextModel(NOTHING, 0, 0, 1),)
    with pytest.raises(PatchMalformed, match="holds more"):
        apply(tmp_path, patch_of([span], [stream], contexts=contexts))


def coded_stream(items: Items, *, extra_words: bool, extra_bits: bool) -> tuple[StreamEntry, bytes]:
    """A coded stream with two bytes more than its items need, and a header that says so."""
    writer = CodedWriter(ITEM_TYPES.index(items.dtype), Mapping.TOKENS, SETTINGS[Effort.MAX])
    writer.first_context("", 1)
    writer.add(items, np.zeros(items.size, np.uint16))
    entry, parts = writer.finish()
    head, tables, states, words, bits = parts
    fields = list(HEADER.unpack(head))
    fields[8] += 2 * extra_words
    fields[9] += 2 * extra_bits
    body = HEADER.pack(*fields) + tables + states + words + b"\0\0" * extra_words + bits + b"\0\0" * extra_bits
    return StreamEntry(entry.kind, entry.item, entry.items, len(body), entry.block_items), body


def test_a_wrong_base_is_named_though_the_patch_looks_malformed(tmp_path: Path) -> None:
    """What is read from another base may make a good patch look damaged, or its output: the base is to blame."""
    base = bytes(64)
    for span in (Span(Copy.number, 64, (0,)), Span(Copy.number, 64, (1,))):
        with pytest.raises(WrongBase):
            apply(tmp_path, patch_of([span], [], base=base), base)


def test_a_good_apply_reads_the_base_once(tmp_path: Path) -> None:
    numbers = np.random.default_rng(8)
    (tmp_path / "base").write_bytes(numbers.bytes(4 * MIB))
    (tmp_path / "new").write_bytes((tmp_path / "base").read_bytes() + b"!")
    encode(tmp_path / "base", tmp_path / "new", tmp_path / "patch", effort=Effort.FAST)
    before = read_bytes()
    decoder.apply(tmp_path / "base", tmp_path / "patch", tmp_path / "out")
    assert read_bytes() - before < 1.1 * 4 * MIB


def read_bytes() -> int:
    """What this process has read from files so far."""
    return int(Path("/proc/self/io").read_text().split("rchar:")[1].split()[0])


def test_offsets_that_grow_beyond_any_file_are_refused(tmp_path: Path) -> None:
    """A layout that is all padding reads nothing, so nothing else would look at its offset."""
    padding = Layout((64,), (1,), (), (0,))
    runs = Layout((8,), (1,), tuple(range(0, 64, 8)))
    far = (1 << 62) - 1
    spans = [Span(Relaid.number, 64, (far * turn, 1, 0)) for turn in (1, 2, 3)]
    spans.append(Span(Relaid.number, 64, (far * 3, 2, 0)))
    patch = patch_of(spans, [], base=bytes(4096), layouts=(padding, runs))
    with pytest.raises(WrongBase) as caught:  # the digest that patches have here is of no file
        apply(tmp_path, patch, bytes(4096))
    assert isinstance(caught.value.__cause__, PatchMalformed)
    assert "outside the base" in str(caught.value.__cause__)


@pytest.mark.parametrize("bits", [0x7F800000, 0xFF800000, 0x7FC00000, 1 << 32])
def test_steps_that_are_no_finite_number_are_refused(tmp_path: Path, bits: int) -> None:
    span = Span(Zeros.number, 4, (), Steps.number, (0, 0, bits))
    patch = patch_of([span], [(StreamEntry(STORED, ITEM_NAMES.index("i2"), 1, 2, 0), bytes(2))])
    with pytest.raises(PatchMalformed, match="finite"):
        apply(tmp_path, patch)
