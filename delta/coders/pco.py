"""Pcodec, the wrapped form: header, one chunk's metadata, one page, with nothing declared twice.

Source: https://github.com/pcodec/pcodec. The library is Rust: what it refuses is a RuntimeError, and a defect in it
surfaces as a panic, which PyO3 raises outside `Exception`. Both become `PatchMalformed` here. It writes only into the
array we give it.
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

_TYPE_NAMES = {
    "u1": "u8", "u2": "u16", "u4": "u32", "u8": "u64", "i1": "i8", "i2": "i16", "i4": "i32", "i8": "i64",
    "f2": "f16", "f4": "f32", "f8": "f64",
}  # fmt: skip


def encode(items: Items, *, level: int) -> bytes | None:
    """One chunk with one page, or `None` where pcodec cannot give the items back bit for bit."""
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
    restored = decode(coded, items.dtype, items.size)
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
        chunk, meta_bytes = file.chunk_decompressor(coded[header_bytes:], _TYPE_NAMES[item.str[1:]])
        progress, _ = chunk.read_page_into(coded[header_bytes + meta_bytes :], count, items)
    if progress.n_processed != count:
        raise PatchMalformed(f"a pcodec block holds {progress.n_processed} items, expected {count}")
    return items


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
