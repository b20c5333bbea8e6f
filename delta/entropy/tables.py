"""Distributions of symbols: few bits to send, exact integers to code with.

A frequency is sent as a level, a quarter of an octave each: off by up to 9 %, which costs 0.002 bits a symbol (half the
variance of the logarithm), while levels of neighbouring symbols are alike and pack well. The integers that the coder
works with follow from the levels by integer arithmetic, so both sides have the same.
"""

from collections.abc import Sequence
from math import isqrt

import numpy as np

from delta import varints
from delta.arrays import Octets
from delta.coders import zstd
from delta.entropy.symbols import MAX_SYMBOLS, Numbers
from delta.errors import PatchMalformed

LEVELS_PER_OCTAVE = 4
MAX_LEVEL = 80
_WEIGHTS = np.array([0, *(isqrt(isqrt(1 << (64 + level))) for level in range(MAX_LEVEL))], np.int64)
"""2 ** (16 + (level - 1) / 4), rounded down: exact in integers; 0 for level 0, a symbol that never comes."""


def frequencies(levels: Octets, precision: int) -> Numbers:
    """Frequencies that add up to 2 ** `precision`: in proportion to the levels, at least 1 where the level is not 0.

    Raises:
        PatchMalformed: no symbol at all, too many for the precision, or an unknown level.
    """
    if levels.size == 0 or int(levels.max()) > MAX_LEVEL:
        raise PatchMalformed("a table of a coded stream has no symbols or an unknown level")
    weights = _WEIGHTS[levels]
    used = weights > 0
    total = 1 << precision
    spare = total - int(used.sum())
    if spare < 0 or not used.any():
        raise PatchMalformed("a table of a coded stream has no symbols or too many")
    shares = weights * spare // int(weights.sum()) + used
    shares[int(shares.argmax())] += total - int(shares.sum())
    return shares


def levels_of(counts: Numbers) -> Octets:
    """The levels nearest to `counts` (int64), relative to the largest; 1 or more wherever a count is."""
    used = counts > 0
    relative = np.log2(np.maximum(counts, 1) / counts.max())
    levels = np.rint(relative * LEVELS_PER_OCTAVE).astype(np.int64) + 64
    return np.where(used, np.clip(levels, 1, MAX_LEVEL), 0).astype(np.uint8)


def serialise(tables: Sequence[Octets], table_of_context: Octets, level: int) -> bytes:
    """All tables and which context uses which, as one zstd frame with its size before it."""
    parts = []
    for levels in tables:
        first = int(np.flatnonzero(levels)[0])
        last = int(np.flatnonzero(levels)[-1])
        kept = levels[first : last + 1]
        parts.append(varints.encode([first, kept.size]))
        parts.append(np.diff(kept, prepend=np.uint8(0)).tobytes())
    parts.append(table_of_context.tobytes())
    plain = b"".join(parts)
    return varints.encode([len(plain)]) + zstd.compress(plain, level=level)


def parse(coded: bytes, tables: int, contexts: int) -> tuple[list[Octets], Octets]:
    """The inverse of `serialise`: levels of each table, and the table of each context.

    Raises:
        PatchMalformed: cut short, too long, or a context of an unknown table.
    """
    size, at = _varint(coded, 0)
    if size > tables * (MAX_SYMBOLS + 4) + contexts:
        raise PatchMalformed("the tables of a coded stream are too large")
    plain = zstd.decompress(coded[at:], size)
    at = 0
    found = []
    for _ in range(tables):
        first, at = _varint(plain, at)
        count, at = _varint(plain, at)
        if first + count > MAX_SYMBOLS or at + count > len(plain):
            raise PatchMalformed("a table of a coded stream has too many symbols")
        kept = np.cumsum(np.frombuffer(plain, np.uint8, count, at), dtype=np.uint8)
        found.append(np.concatenate((np.zeros(first, np.uint8), kept)))
        at += count
    table_of_context = np.frombuffer(plain, np.uint8, offset=at)
    if table_of_context.size != contexts or (contexts and int(table_of_context.max()) >= tables):
        raise PatchMalformed("a coded stream has contexts without tables")
    return found, table_of_context


def _varint(coded: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(varints.MAX_BYTES):
        if at >= len(coded):
            raise PatchMalformed("the tables of a coded stream are cut short")
        byte = coded[at]
        at += 1
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at
    raise PatchMalformed("the tables of a coded stream hold an integer that is too long")
