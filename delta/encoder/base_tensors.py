"""The base's tensors, found by name and by content."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from delta.arrays import ITEM_TYPES, Items, Octets
from delta.encoder.onnx_tensors import TensorRef


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

    def counterparts(self, tensor: TensorRef) -> list[TensorRef]:
        """Those of the same name, type and size."""
        return [old for old in self.named(tensor.name) if old.data_type == tensor.data_type and old.size == tensor.size]

    def identical(self, content: Octets) -> TensorRef | None:
        """One with exactly these bytes, whatever its name."""
        if content.size not in self._by_size:
            return None
        if content.size not in self._digests:
            same_size = reversed(self._by_size[content.size])
            self._digests[content.size] = {_digest(self._octets(tensor)): tensor for tensor in same_size}
        return self._digests[content.size].get(_digest(content))

    def values(self, tensor: TensorRef) -> Items:
        """Its items as the type they are coded as."""
        return self._octets(tensor).view(ITEM_TYPES[tensor.item])

    def _octets(self, tensor: TensorRef) -> Octets:
        return self._file[tensor.offset : tensor.end]


def _digest(content: Octets) -> bytes:
    return hashlib.sha256(content.data).digest()
