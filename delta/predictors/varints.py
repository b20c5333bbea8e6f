"""`varints`: integers of the base as varints, which protobuf makes of integers that stand in no raw bytes.

`TensorProto.int32_data` holds int8 codes so: a negative one takes ten bytes, because varints carry its 64-bit two's
complement (https://protobuf.dev/programming-guides/encoding/#signed-ints).
"""

import numpy as np

from delta import varints
from delta.arrays import ITEM_TYPES, Octets
from delta.errors import PatchMalformed
from delta.spans import Piece, Sources

_CHUNK_ITEMS = 1 << 13


class Varints:
    """`items` integers of the base from an offset on; `item` is the number of their type, which says what sign they have.

    Pieces are taken in order, because only what comes before says where an item begins.
    """

    number = 7
    name = "varints"
    operands: tuple[str, ...] = ("base_offset", "item", "items")
    reads_base = True
    expansion = 2

    def predict(self, piece: Piece, sources: Sources) -> Octets:
        return sources.prepared(lambda: _Unread(piece, sources)).take(piece.length)


class _Unread:
    """What is left of a span: items that were not read, and bytes of those that were."""

    def __init__(self, piece: Piece, sources: Sources) -> None:
        self._sources = sources
        self._offset, item, self._items = piece.span.operands
        if item >= len(ITEM_TYPES) or ITEM_TYPES[item].kind not in "ui":
            raise PatchMalformed("varints are of integers")
        self._item_type = ITEM_TYPES[item]
        self._bytes = np.empty(0, np.uint8)

    def take(self, length: int) -> Octets:
        """The next `length` bytes."""
        parts = [self._bytes]
        size = self._bytes.size
        while size < length:
            parts.append(self._next_chunk())
            size += parts[-1].size
        plain = np.concatenate(parts)
        self._bytes = plain[length:]
        return plain[:length]

    def _next_chunk(self) -> Octets:
        count = min(self._items, _CHUNK_ITEMS)
        if not count:
            raise PatchMalformed("a span of varints is longer than its items are")
        width = self._item_type.itemsize
        items = self._sources.base(self._offset, count * width).view(self._item_type)
        self._offset += count * width
        self._items -= count
        return varints.from_items(items)
