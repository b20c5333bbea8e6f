"""Zstandard over the bytes of the items: for runs, repeats and text. Also the bounded decompression that others use."""

import numpy as np
import zstandard

from delta.arrays import Items, octets
from delta.errors import PatchMalformed

NUMBER = 1
NAME = "zstd"

MAX_WINDOW_BYTES = 1 << 23
"""The largest history a frame may ask for: what level 19 uses. zstandard refuses a frame that declares more."""


_QUICK_LEVEL = 3
_ALIKE = 0.97


def compress(plain: bytes | memoryview, *, level: int) -> bytes:
    """One frame without content size, checksum or dictionary id: the patch carries sizes and digests itself."""
    parameters = zstandard.ZstdCompressionParameters.from_level(
        level,
        source_size=len(plain),
        write_content_size=False,
        write_checksum=False,
        write_dict_id=False,
        window_log=min(23, max(10, len(plain).bit_length())),
    )
    return zstandard.ZstdCompressor(compression_params=parameters).compress(plain)


def is_alike(plain: bytes, other: bytes) -> bool:
    """Whether knowing `other` saves some of the bytes that `plain` takes: not if it is of another kind altogether."""
    if not other:
        return False
    known = zstandard.ZstdCompressionDict(other, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    alone = zstandard.ZstdCompressor(level=_QUICK_LEVEL).compress(plain)
    return len(zstandard.ZstdCompressor(level=_QUICK_LEVEL, dict_data=known).compress(plain)) < _ALIKE * len(alone)


def decompress(coded: bytes, size: int) -> bytes:
    """The frame's content, which must be exactly `size` bytes; never takes more memory than that and its window.

    Raises:
        PatchMalformed: not a frame, cut short, another size, or a window over `MAX_WINDOW_BYTES`.
    """
    try:
        with zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES).stream_reader(coded) as reader:
            plain = reader.read(size)
            excess = reader.read(1)
    except zstandard.ZstdError as error:
        raise PatchMalformed(f"a zstd frame is damaged: {error}") from error
    if len(plain) != size or excess:
        raise PatchMalformed(f"a zstd frame does not hold the {size} bytes it should")
    return plain


def encode(items: Items, *, level: int) -> bytes | None:
    """The bytes of `items` as one frame."""
    return compress(octets(items).data, level=level)


def decode(coded: bytes, item: np.dtype[np.generic], count: int) -> Items:
    """`count` items from one frame."""
    return np.frombuffer(decompress(coded, count * item.itemsize), item)
