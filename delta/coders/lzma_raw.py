"""LZMA without a container, from Python's standard library: for long streams of bytes that are neither text nor tensor.

Its literals depend on the byte before and on the offset modulo four, which on machine code takes a tenth less than
zstd. It decodes at some 30 MB/s, slower than zstd and as fast as such streams need.
"""

import lzma

from delta.entropy.bits import ByteSource
from delta.errors import PatchMalformed

MIN_HISTORY_BYTES = 1 << 12
MAX_HISTORY_BYTES = 1 << 23
"""The history that a decoder keeps in memory; as much as zstd's."""
_MAX_POSITION_BITS = 4
_READ_BYTES = 1 << 16
_MAX_LITERAL_BITS = 4
_LITERAL_BITS = 4


def history_bytes(size: int) -> int:
    """The history to declare for `size` bytes."""
    return min(max(1 << (size - 1).bit_length(), MIN_HISTORY_BYTES), MAX_HISTORY_BYTES) if size else MIN_HISTORY_BYTES


def compress(plain: bytes | memoryview, *, position_bits: int, literal_bits: int = _LITERAL_BITS) -> bytes:
    """One byte with both parameters, then the stream with its end mark.

    A byte is expected by its place modulo 2 ** `position_bits` (2 suits records of four bytes, 0 text), and a literal
    by the highest `literal_bits` of the byte before.
    """
    options = {
        "id": lzma.FILTER_LZMA1,
        "preset": 9 | lzma.PRESET_EXTREME,
        "dict_size": history_bytes(len(plain)),
        "lc": literal_bits,
        "pb": position_bits,
    }
    return bytes([position_bits << 4 | literal_bits]) + lzma.compress(plain, format=lzma.FORMAT_RAW, filters=[options])


class Reader:
    """Reads what `compress` wrote, in order."""

    def __init__(self, source: ByteSource, history: int) -> None:
        """`source` is all of it, `history` what was declared.

        Raises:
            PatchMalformed: a parameter is out of bounds.
        """
        position_bits, literal_bits = divmod(source.read_exactly(1)[0], 16)
        if position_bits > _MAX_POSITION_BITS or literal_bits > _MAX_LITERAL_BITS:
            raise PatchMalformed("an lzma stream has parameters out of bounds")
        if not MIN_HISTORY_BYTES <= history <= MAX_HISTORY_BYTES:
            raise PatchMalformed(f"an lzma stream has a history of {history} bytes")
        options = {"id": lzma.FILTER_LZMA1, "dict_size": history, "lc": literal_bits, "pb": position_bits}
        self._source = source
        self._decompressor = lzma.LZMADecompressor(format=lzma.FORMAT_RAW, filters=[options])

    def read_exactly(self, size: int) -> bytes:
        """The next `size` bytes.

        Raises:
            PatchMalformed: there are fewer, or they are damaged.
        """
        parts = []
        while size:
            parts.append(self._more(size))
            if not parts[-1]:
                raise PatchMalformed("an lzma stream is cut short")
            size -= len(parts[-1])
        return b"".join(parts)

    @property
    def exhausted(self) -> bool:
        """Whether nothing but the end mark was left."""
        return (
            not self._more(1)
            and self._decompressor.eof
            and not self._decompressor.unused_data
            and not self._source.left
        )

    def _more(self, most: int) -> bytes:
        """At least one byte and at most `most`; none at the end."""
        while not self._decompressor.eof:
            wants = self._decompressor.needs_input
            coded = self._source.read_exactly(min(self._source.left, _READ_BYTES)) if wants else b""
            try:
                plain = self._decompressor.decompress(coded, most)
            except lzma.LZMAError as error:
                raise PatchMalformed(f"an lzma stream is damaged: {error}") from error
            if plain or (wants and not coded):
                return plain
        return b""


class _Whole:
    """Bytes in memory as a source."""

    def __init__(self, coded: bytes) -> None:
        self._coded = coded
        self.left = len(coded)

    def read_exactly(self, size: int) -> bytes:
        if size > self.left:
            raise PatchMalformed("an lzma stream is cut short")
        start = len(self._coded) - self.left
        self.left -= size
        return self._coded[start : start + size]


def decompress(coded: bytes, size: int) -> bytes:
    """All that `compress` wrote, which must be exactly `size` bytes.

    Raises:
        PatchMalformed: it is another size, or damaged.
    """
    reader = Reader(_Whole(coded), history_bytes(size))
    plain = reader.read_exactly(size)
    if not reader.exhausted:
        raise PatchMalformed(f"an lzma stream does not hold the {size} bytes it should")
    return plain
