"""Channels whose removal changes no output: nothing makes them, or nobody reads them. Pruning of single weights leaves many. No torch."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper

from compression.channels.binding import Binding, bind
from compression.channels.removal import without


def without_dead(model: ModelProto) -> tuple[ModelProto, int]:
    """A copy of `model` without its dead channels, and how many these were. A layer keeps one where all are dead."""
    count = 0
    while True:
        binding = bind(model)
        dead = _spared(binding, set(dead_channels(model, binding)))
        if not dead:
            return model, count
        model = without(model, binding, dead)
        count += len(dead)


def dead_channels(model: ModelProto, binding: Binding) -> Iterator[int]:
    """Channels that are zero wherever they are made and stay so until they are read, or that are read with weights of zero only."""
    made, read = _sums(model, binding)
    for channel in binding.removable:
        # Padding and constants of a pooling or normalisation make no difference to what is multiplied with zero.
        is_unread = channel in read and not read[channel]
        is_silent = not made.get(channel, 1.0) and channel not in binding.altered
        if is_silent or is_unread:
            yield channel


def _sums(model: ModelProto, binding: Binding) -> tuple[dict[int, float], dict[int, float]]:
    """By channel, the sum of magnitudes of all that makes it, and of all that reads it."""
    made: dict[int, float] = {}
    read: dict[int, float] = {}
    for tensor in model.graph.initializer:
        for axis, ids in binding.axes.get(tensor.name, {}).items():
            sums = made if binding.makers.get(tensor.name) == axis or len(tensor.dims) == 1 else read
            for channel, magnitude in zip(ids, _magnitudes(numpy_helper.to_array(tensor), axis), strict=True):
                sums[channel] = sums.get(channel, 0.0) + float(magnitude)
    return made, read


def _magnitudes(array: NDArray[np.generic], axis: int) -> NDArray[np.float64]:
    others = tuple(other for other in range(array.ndim) if other != axis)
    sums: NDArray[np.float64] = np.abs(array.astype(np.float64)).sum(axis=others)
    return sums


def _spared(binding: Binding, dead: set[int]) -> set[int]:
    """The dead channels less one of each layer that would otherwise be empty."""
    for layer in binding.layers:
        if dead.issuperset(layer.ids):
            dead.discard(layer.ids[0])
    return dead
