"""The base's tensors, found by name and by content."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from delta.arrays import ITEM_TYPES, Items, Octets
from delta.encoder.onnx_tensors import TensorRef
from delta.layouts import Layout


@dataclass(frozen=True, slots=True)
class Counterpart:
    """A tensor of the base that one of the new file may come from, in another layout there if it names one."""

    tensor: TensorRef
    layout: Layout | None = None


class BaseTensors:
    """Looks up what a tensor of the new file may be predicted from."""

    def __init__(self, file: Octets, tensors: Sequence[TensorRef]) -> None:
        self._file = file
        self._by_name: dict[str, list[TensorRef]] = defaultdict(list)
        self._by_size: dict[int, list[TensorRef]] = defaultdict(list)
        self._digests: dict[int, dict[bytes, TensorRef]] = {}
        for tensor in tensors:
            self._by_name[tensor.name].append(tensor)
            self._by_size[tensor.size].append(tensor)

    def named(self, name: str) -> list[TensorRef]:
        """All tensors of that name; subgraphs may repeat one."""
        return self._by_name.get(name, [])

    def counterparts(self, tensor: TensorRef) -> list[Counterpart]:
        """Those of the same type and size that it may come from, the likeliest first: of the same name."""
        return [
            Counterpart(old)
            for old in self.named(tensor.name)
            if old.data_type == tensor.data_type and old.size == tensor.size
        ]

    def identical(self, content: Octets) -> TensorRef | None:
        """One with exactly these bytes, whatever its name."""
        if content.size not in self._by_size:
            return None
        if content.size not in self._digests:
            same_size = reversed(self._by_size[content.size])
            self._digests[content.size] = {_digest(self._octets(tensor)): tensor for tensor in same_size}
        return self._digests[content.size].get(_digest(content))

    def values(self, old: TensorRef | Counterpart) -> Items:
        """Items as the type they are coded as, in the order of the counterpart's layout."""
        if isinstance(old, TensorRef):
            return self._octets(old).view(ITEM_TYPES[old.item])
        kind = ITEM_TYPES[old.tensor.item]
        if old.layout is None:
            return self._octets(old.tensor).view(kind)
        return old.layout.gather(self._read, old.tensor.offset, kind.itemsize, 0, old.layout.items).view(kind)

    def _read(self, offset: int, length: int) -> Octets:
        return self._file[offset : offset + length]

    def _octets(self, tensor: TensorRef) -> Octets:
        return self._file[tensor.offset : tensor.end]


def _digest(content: Octets) -> bytes:
    return hashlib.sha256(content.data).digest()
