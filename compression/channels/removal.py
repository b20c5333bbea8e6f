"""The graph without some of its channels: smaller initializers, the same nodes and names. No torch."""

from collections.abc import Collection

import numpy as np
from onnx import ModelProto, TensorProto, numpy_helper

from compression.channels.binding import Binding, Ids
from compression.errors import ModelUnusable


def without(model: ModelProto, binding: Binding, removed: Collection[int]) -> ModelProto:
    """A copy of `model` without the channels `removed`.

    Raises:
        ModelUnusable: a layer would make no channel any more; the message names it.
        ValueError: a channel among them is fixed.
    """
    gone = frozenset(removed)
    if gone & binding.fixed:
        raise ValueError("a channel that must stay is to be removed")
    for layer in binding.layers:
        if gone.issuperset(layer.ids):
            raise ModelUnusable(f"{layer.name}: no channel of {len(layer.ids)} would be left; remove fewer")
    smaller = ModelProto()
    smaller.CopyFrom(model)
    dims = {}
    for tensor in smaller.graph.initializer:
        axes = binding.axes.get(tensor.name, {})
        if any(not gone.isdisjoint(ids) for ids in axes.values()):
            _shrink(tensor, axes, gone)
            dims[tensor.name] = list(tensor.dims)
    for place, ids in binding.groups.items():
        for attribute in smaller.graph.node[place].attribute:
            if attribute.name == "group":
                attribute.i = sum(channel not in gone for channel in ids)
    for value in smaller.graph.input:  # initializers of old models stand there too
        for dim, extent in zip(value.type.tensor_type.shape.dim, dims.get(value.name, ()), strict=False):
            dim.dim_value = extent
    # Shapes between the nodes are no longer true; whoever wants them infers them again.
    del smaller.graph.value_info[:]
    return smaller


def _shrink(tensor: TensorProto, axes: dict[int, Ids], gone: frozenset[int]) -> None:
    array = numpy_helper.to_array(tensor)
    for axis, ids in axes.items():
        array = np.compress([channel not in gone for channel in ids], array, axis=axis)
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), tensor.name))
