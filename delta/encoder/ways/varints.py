"""Integers as varints, where the base has the same integers as they are."""

from delta import varints
from delta.arrays import ITEM_NAMES, ITEM_TYPES, octets
from delta.encoder.scene import Scene
from delta.encoder.tensors import ITEM_BY_DATA_TYPE, VarintsRef
from delta.encoder.way import Proposal, Way
from delta.errors import PatchMalformed
from delta.predictors.varints import Varints

_BITS_OF_FLOATS = {"f2": "u2"}
"""Floats of 16 bits stand in `int32_data` by their pattern."""

MIN_BYTES = 32
"""Fewer are as short as text."""


def propose(tensor: VarintsRef, scene: Scene) -> Proposal | None:
    """One span, or nothing where the base does not have these integers, or where they are not written the shortest way."""
    if tensor.size < MIN_BYTES:
        return None
    plain = scene.new[tensor.offset : tensor.end]
    name = ITEM_BY_DATA_TYPE[tensor.data_type]
    item = ITEM_NAMES.index(_BITS_OF_FLOATS.get(name, name))
    try:
        items = varints.to_items(plain, ITEM_TYPES[item])
    except PatchMalformed:
        return None
    same = scene.base.identical(octets(items))
    if same is None or octets(varints.from_items(items)).tobytes() != plain.tobytes():
        return None
    return (Way(tensor.size, Varints.number, (same.offset, item, items.size)),)
