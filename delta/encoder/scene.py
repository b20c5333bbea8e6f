"""What a proposer of ways may look at: both files, their tensors, and what the encoder was asked for."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from delta.arrays import ITEM_TYPES, Items, Octets
from delta.encoder.base_tensors import BaseTensors
from delta.encoder.containers import find_tensors
from delta.encoder.effort import Settings
from delta.encoder.numbers import Numbers
from delta.encoder.quantised_tensors import QuantisedTensors
from delta.encoder.tensors import TensorRef, VarintsRef


@dataclass(frozen=True, slots=True)
class Scene:
    """The new file with its tensors (`named`: by name, subgraphs may repeat one), and what the base has for them.

    `numbers` are the base's floats as terms, and `quantised` is what comes out of these by quantising.
    """

    new: Octets
    tensors: list[TensorRef]
    varints: list[VarintsRef]
    named: dict[str, list[TensorRef]]
    base: BaseTensors
    numbers: Numbers
    quantised: QuantisedTensors
    settings: Settings

    @classmethod
    def of(cls, base: Octets | None, new: Octets, settings: Settings) -> "Scene":
        """Look for the tensors of both files."""
        found = find_tensors(new.data)
        tensors = found.fixed
        named = defaultdict(list)
        for tensor in tensors:
            named[tensor.name].append(tensor)
        base_file = np.empty(0, np.uint8) if base is None else base
        old = find_tensors(base_file.data).fixed
        numbers = Numbers(base_file, old)
        quantised = QuantisedTensors(new, tensors, numbers)
        return cls(
            new, tensors, found.varints, dict(named), BaseTensors(base_file, old, new), numbers, quantised, settings
        )

    def in_order(self) -> list[TensorRef | VarintsRef]:
        """Everything found in the new file."""
        found: list[TensorRef | VarintsRef] = [*self.tensors, *self.varints]
        return sorted(found, key=lambda tensor: tensor.offset)

    def octets(self, tensor: TensorRef) -> Octets:
        """The bytes of a tensor of the new file."""
        return self.new[tensor.offset : tensor.end]

    def values(self, tensor: TensorRef) -> Items:
        """Its items, as the type they are coded as."""
        return self.octets(tensor).view(ITEM_TYPES[tensor.item])
