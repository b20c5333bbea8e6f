"""Which channels matter least, by three rules of the literature, and which of them to take. Pure; no torch."""

from collections.abc import Iterable, Mapping
from math import ceil

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper

from compression.channels.binding import Binding
from compression.errors import ModelUnusable

Importance = Mapping[int, float]
"""By removable channel."""


def by_magnitude(model: ModelProto, binding: Binding) -> dict[int, float]:
    """The sum of magnitudes of the filters that make a channel, by the mean of their layer.

    H. Li et al., "Pruning Filters for Efficient ConvNets" (arXiv:1608.08710), section 3.1, made comparable between layers.
    """
    weights = {layer.weight for layer in binding.layers}
    arrays = ((name, array) for name, array in _arrays(model) if name in weights)
    return _summed(binding, ((name, np.abs(array)) for name, array in arrays), relative=True)


def by_scale(model: ModelProto, binding: Binding) -> dict[int, float]:
    """The magnitude of the batch normalisation's scale: Z. Liu et al., "Network Slimming" (arXiv:1708.06519), section 3.

    Raises:
        ModelUnusable: a layer has no batch normalisation after it, because it was folded for instance.
    """
    found = _summed(binding, ((name, np.abs(array)) for name, array in _arrays(model) if name in binding.scales))
    for layer in binding.layers:
        if any(channel in binding.removable_set and channel not in found for channel in layer.ids):
            raise ModelUnusable(f"{layer.name}: no batch normalisation follows; take another importance than gamma")
    return found


def by_taylor(products: Iterable[Mapping[str, NDArray[np.float64]]], binding: Binding) -> dict[int, float]:
    """The square of what the loss would change, to first order, if a channel were zero; the mean over batches.

    P. Molchanov et al., "Importance Estimation for Neural Network Pruning" (arXiv:1906.10771), equation 8, on all that makes a channel.

    Args:
        products: for each batch, by initializer, the weights times their gradients.
        binding: of the model whose they are.
    """
    found = dict.fromkeys(binding.removable, 0.0)
    count = 0
    for batch in products:
        count += 1
        for channel, change in _summed(binding, batch.items()).items():
            found[channel] += change * change
    return {channel: total / max(count, 1) for channel, total in found.items()}


def least(binding: Binding, importance: Importance, count: int, *, multiple_of: int = 1) -> set[int]:
    """The `count` channels of least importance, less those that a layer needs to keep a multiple of `multiple_of`, and not to be empty.

    Layers whose channels are tied count as one.
    """
    order = sorted(binding.removable, key=lambda channel: (importance.get(channel, 0.0), channel))
    taken = set(order[:count])
    for family in _families(binding):
        going = [channel for channel in order if channel in taken and channel in family]
        kept = min(ceil(max(len(family) - len(going), 1) / multiple_of) * multiple_of, len(family))
        spared = kept - (len(family) - len(going))
        taken.difference_update(going[len(going) - spared :] if spared > 0 else ())
    return taken


def _families(binding: Binding) -> list[frozenset[int]]:
    """The channels of each layer; of layers that share any, together. Fixed ones are in no family."""
    families: list[frozenset[int]] = []
    for layer in binding.layers:
        own = binding.removable_set.intersection(layer.ids)
        if own:
            tied = [family for family in families if family & own]
            families = [family for family in families if not family & own] + [own.union(*tied)]
    return families


def _arrays(model: ModelProto) -> Iterable[tuple[str, NDArray[np.float64]]]:
    for tensor in model.graph.initializer:
        yield tensor.name, numpy_helper.to_array(tensor).astype(np.float64)


def _summed(
    binding: Binding, arrays: Iterable[tuple[str, NDArray[np.float64]]], *, relative: bool = False
) -> dict[int, float]:
    """By removable channel, the sum over all that lies on it along the axis that makes channels; `relative` to the tensor's mean."""
    found: dict[int, float] = {}
    for name, array in arrays:
        axis = binding.makers.get(name, 0 if array.ndim == 1 else None)
        ids = binding.axes.get(name, {}).get(axis) if axis is not None else None
        if ids is None or axis is None:
            continue
        sums = array.sum(axis=tuple(other for other in range(array.ndim) if other != axis))
        scale = float(np.abs(sums).mean()) if relative else 1.0
        for channel, own in zip(ids, sums, strict=True):
            if channel in binding.removable_set:
                found[channel] = found.get(channel, 0.0) + float(own) / (scale or 1.0)
    return found
