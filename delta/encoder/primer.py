"""What of the base a text may be like: the graph and the names, all that is no tensor."""

from collections.abc import Sequence
from dataclasses import dataclass

from delta.arrays import Octets
from delta.encoder.tensors import TensorRef, VarintsRef
from delta.text.codec import MAX_PRIMER_BYTES
from delta.text.primed import Range

_SHORT_BYTES = 256
"""Text of fewer bytes between tensors is left out, and tensors of fewer within text are not: a range takes four bytes."""


@dataclass(frozen=True, slots=True)
class Primer:
    """Ranges of the base, and what they hold."""

    ranges: tuple[Range, ...]
    text: bytes

    def limited(self, size: int) -> "Primer":
        """The first `size` bytes of it."""
        ranges = []
        left = size
        for offset, length in self.ranges:
            if left:
                ranges.append((offset, min(length, left)))
                left -= ranges[-1][1]
        return Primer(tuple(ranges), self.text[:size])


NO_PRIMER = Primer((), b"")


def ranges_between(tensors: Sequence[TensorRef | VarintsRef], size: int) -> list[Range]:
    """What of a file of `size` bytes lies outside these tensors, which are in the order of the file."""
    ends = [0, *(tensor.end for tensor in tensors)]
    starts = [*(tensor.offset for tensor in tensors), size]
    return [(end, start - end) for end, start in zip(ends, starts, strict=True) if start > end]


def primer_of(base: Octets, tensors: Sequence[TensorRef]) -> Primer:
    """The first `MAX_PRIMER_BYTES` of the base that lie outside its `tensors`, which are in the order of the file."""
    long = [tensor for tensor in tensors if tensor.size >= _SHORT_BYTES]
    ranges = []
    left = MAX_PRIMER_BYTES
    for offset, length in ranges_between(long, base.size):
        if min(length, left) >= min(_SHORT_BYTES, base.size):
            ranges.append((offset, min(length, left)))
            left -= min(length, left)
    return Primer(tuple(ranges), b"".join(base[offset : offset + length].tobytes() for offset, length in ranges))
