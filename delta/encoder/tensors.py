"""What containers of tensors are searched for: where values stand, and what they mean. Types are ONNX's."""

from dataclasses import dataclass, field

from delta.arrays import ITEM_NAMES, ITEM_TYPES

ITEM_BY_DATA_TYPE = {
    1: "f4", 2: "u1", 3: "i1", 4: "u2", 5: "i2", 6: "i4", 7: "i8", 9: "u1", 10: "f2", 11: "f8", 12: "u4", 13: "u8",
    16: "u2", 17: "u1", 18: "u1", 19: "u1", 20: "u1", 21: "u1", 22: "u1", 23: "u1", 24: "u1", 25: "u1", 26: "u1",
}  # fmt: skip
"""`TensorProto.DataType` to the item type its bytes are coded as: bfloat16 as 2 bytes, float8 and what is packed (4 and 2
bits) as 1."""
FLOAT_DATA_TYPES = frozenset({1, 10, 11, 16})
"""float, float16, double, bfloat16: sign and magnitude with the sign bit on top."""
PACKED_DATA_TYPES = frozenset({21, 22, 23, 25, 26})
"""uint4, int4, float4, uint2, int2: several to a byte."""


@dataclass(frozen=True, slots=True)
class TensorRef:
    """One tensor's values: `size` bytes from `offset` of the file on; `data_type` is ONNX's number."""

    name: str
    data_type: int
    dims: tuple[int, ...]
    offset: int
    size: int

    @property
    def item(self) -> int:
        """The number of the item type that its values are coded as."""
        return ITEM_NAMES.index(ITEM_BY_DATA_TYPE[self.data_type])

    @property
    def items(self) -> int:
        """How many of these there are; packed ones count as bytes."""
        return self.size // ITEM_TYPES[self.item].itemsize

    @property
    def is_float(self) -> bool:
        return self.data_type in FLOAT_DATA_TYPES

    @property
    def end(self) -> int:
        return self.offset + self.size


@dataclass(frozen=True, slots=True)
class VarintsRef:
    """A tensor's values as varints, one after the other, in `size` bytes from `offset` on: what protobuf does to integers.

    A negative number has ten bytes, whatever its type.
    """

    data_type: int
    offset: int
    size: int

    @property
    def end(self) -> int:
        return self.offset + self.size


@dataclass(slots=True)
class Tensors:
    """All tensors of a file, in its order."""

    fixed: list[TensorRef] = field(default_factory=list)
    varints: list[VarintsRef] = field(default_factory=list)

    def sort(self) -> None:
        """Bring them into the order of the file."""
        self.fixed.sort(key=lambda tensor: tensor.offset)
        self.varints.sort(key=lambda tensor: tensor.offset)
