"""Where the tensors of a safetensors file are.

The size of the header (8 bytes), the header in JSON, the values; offsets count from the header's end
(https://github.com/huggingface/safetensors, "Format").
"""

import json
import struct
from math import prod
from typing import Any

from delta.encoder.tensors import ITEM_BY_DATA_TYPE, TensorRef, Tensors

_SIZE = struct.Struct("<Q")
_MAX_HEADER_BYTES = 100_000_000
"""As the reference implementation's."""
_METADATA = "__metadata__"
_DATA_TYPES = {
    "F32": 1, "U8": 2, "I8": 3, "U16": 4, "I16": 5, "I32": 6, "I64": 7, "BOOL": 9, "F16": 10, "F64": 11, "U32": 12,
    "U64": 13, "BF16": 16, "F8_E4M3": 17, "F8_E5M2": 19,
}  # fmt: skip


def find(file: memoryview) -> Tensors | None:
    """All tensors in the order of the file; nothing where it is no safetensors file."""
    if len(file) < _SIZE.size + 2:
        return None
    (header_bytes,) = _SIZE.unpack(file[: _SIZE.size])
    first = _SIZE.size + header_bytes
    if header_bytes > min(_MAX_HEADER_BYTES, len(file) - _SIZE.size) or file[_SIZE.size] != ord("{"):
        return None
    try:
        header = json.loads(bytes(file[_SIZE.size : first]))
    except ValueError:
        return None
    entries = ((name, entry) for name, entry in header.items() if name != _METADATA)
    tensors = Tensors([found for name, entry in entries if (found := _tensor(name, entry, first, len(file)))])
    tensors.sort()
    return tensors


def _tensor(name: str, entry: Any, first: int, file_bytes: int) -> TensorRef | None:
    match entry:
        case {"dtype": str(dtype), "shape": list(dims), "data_offsets": [int(begin), int(end)]}:
            data_type = _DATA_TYPES.get(dtype, 0)
        case _:
            return None
    if not data_type or not all(isinstance(extent, int) and extent >= 0 for extent in dims):
        return None
    fits = 0 <= begin < end <= file_bytes - first
    if not fits or end - begin != prod(dims) * int(ITEM_BY_DATA_TYPE[data_type][1]):
        return None
    return TensorRef(name, data_type, tuple(dims), first + begin, end - begin)
