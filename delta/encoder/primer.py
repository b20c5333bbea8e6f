"""What of the base a text may be like: the graph and the names, all that is no tensor."""

from collections.abc import Sequence
from dataclasses import dataclass

from delta.arrays import Octets
from delta.encoder.tensors import TensorRef
from delta.text.codec import MAX_PRIMER_BYTES
from delta.text.primed import Range

_SHORT_BYTES = 256
"""Text of fewer bytes between tensors is left out, and tensors of fewer within text are not: a range takes four bytes."""


@dataclass(frozen=True, slots=True)
class Primer:
    """Ranges of the base, and what they hold."""

    ranges: tuple[Range, ...]
    text: bytes


NO_PRIMER = Primer((), b"")


def primer_of(base: Octets, tensors: Sequence[TensorRef]) -> Primer:
    """The first `MAX_PRIMER_BYTES` of the base that lie outside its `tensors`, which are in the order of the file."""
    ranges = []
    left = MAX_PRIMER_BYTES
    start = 0
    for tensor_offset, tensor_end in [
        *((tensor.offset, tensor.end) for tensor in tensors if tensor.size >= _SHORT_BYTES), (base.size, base.size)
    ]:  # fmt: skip
        length = min(tensor_offset - start, left)
        if length >= min(_SHORT_BYTES, base.size):
            ranges.append((start, length))
            left -= length
        start = tensor_end
    return Primer(tuple(ranges), b"".join(base[offset : offset + length].tobytes() for offset, length in ranges))
