"""Pcodec, the wrapped form: header, one chunk's metadata, one page, with nothing declared twice.

Source: https://github.com/pcodec/pcodec. The library is Rust: what it refuses is a RuntimeError, and a defect in it
surfaces as a panic, which PyO3 raises outside `Exception`. Both become `PatchMalformed` here. It writes only into the
array we give it. Memory that it cannot get would end the process, so what a block may make it take is bounded first.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from pcodec import ChunkConfig, PagingSpec, wrapped

from delta.arrays import Items
from delta.errors import PatchMalformed

NUMBER = 3
NAME = "pcodec"

MAX_ITEMS = 1 << 18
"""The most items a block may hold here; more cost memory in the library and gain nothing."""

MAX_META_BYTES = 1 << 17
"""What the metadata of a chunk may take: three latents of 4096 bins, which is what level 12 makes, need less."""
MAX_LOOKBACK_LOG = 18
"""No item lies further back than the page has items. pcodec allows 2^24, and takes twice the window for each latent."""

_INTEGER_MULTIPLE, _FLOAT_MULTIPLE, _FLOAT_QUANT, _DICTIONARY = 1, 2, 3, 4
_LOOKBACK = 2

_TYPE_NAMES = {
    "u1": "u8", "u2": "u16", "u4": "u32", "u8": "u64", "i1": "i8", "i2": "i16", "i4": "i32", "i8": "i64",
    "f2": "f16", "f4": "f32", "f8": "f64",
}  # fmt: skip


def encode(items: Items, *, level: int) -> bytes | None:
    """One chunk with one page, or `None` where it does not give the items back bit for bit, or asks for too much."""
    if not 0 < items.size <= MAX_ITEMS:
        return None
    config = ChunkConfig(
        compression_level=level,
        paging_spec=PagingSpec.exact_page_sizes([items.size]),
        enable_8_bit=True,
    )
    file = wrapped.FileCompressor()
    chunk = file.chunk_compressor(np.require(items, requirements=["C", "A"]), config)
    coded = b"".join((bytes(file.write_header()), bytes(chunk.write_meta()), bytes(chunk.write_page(0))))
    try:
        restored = decode(coded, items.dtype, items.size)
    except PatchMalformed:
        return None
    return coded if restored.tobytes() == items.tobytes() else None


def decode(coded: bytes, item: np.dtype[np.generic], count: int) -> Items:
    """`count` items.

    Raises:
        PatchMalformed: too many items, or bytes that pcodec does not accept.
    """
    if count > MAX_ITEMS:
        raise PatchMalformed(f"a pcodec block has {count} items, at most {MAX_ITEMS} are allowed")
    items = np.empty(count, item)
    with _refusals_typed():
        file, header_bytes = wrapped.FileDecompressor.new(coded)
        meta = coded[header_bytes : header_bytes + MAX_META_BYTES]
        _check_memory(meta, 8 * item.itemsize)
        chunk, meta_bytes = file.chunk_decompressor(meta, _TYPE_NAMES[item.str[1:]])
        progress, _ = chunk.read_page_into(coded[header_bytes + meta_bytes :], count, items)
    if progress.n_processed != count:
        raise PatchMalformed(f"a pcodec block holds {progress.n_processed} items, expected {count}")
    return items


def _check_memory(meta: bytes, item_bits: int) -> None:
    """Bound what pcodec allocates for a chunk, before it does: its dictionary, and the window it looks back in.

    Only the first fields of the metadata are read, as its format's section "Chunk metadata" lays them out.
    """
    head = int.from_bytes(meta[:4], "little")
    mode = head & 15
    at = 4 + {_INTEGER_MULTIPLE: item_bits, _FLOAT_MULTIPLE: item_bits, _FLOAT_QUANT: 8}.get(mode, 0)
    if mode == _DICTIONARY:
        entries = head >> 4 & ((1 << 25) - 1)
        if entries > MAX_ITEMS:
            raise PatchMalformed(f"a pcodec block has a dictionary of {entries} items, at most {MAX_ITEMS} are allowed")
        at = 32 + entries * item_bits
    delta = int.from_bytes(meta[at // 8 : at // 8 + 3], "little") >> at % 8
    window_log = 1 + (delta >> 4 & 31)
    if delta & 15 == _LOOKBACK and window_log > MAX_LOOKBACK_LOG:
        raise PatchMalformed(
            f"a pcodec block looks back 2^{window_log} items, at most 2^{MAX_LOOKBACK_LOG} are allowed"
        )


@contextmanager
def _refusals_typed() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, TypeError, ValueError) as error:
        raise PatchMalformed(f"a pcodec block is damaged: {error}") from error
    except BaseException as error:
        if type(error).__module__ == "pyo3_runtime":
            raise PatchMalformed(f"a pcodec block is damaged: {error}") from None
        raise
