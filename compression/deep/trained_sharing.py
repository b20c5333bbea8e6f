"""Shared values trained on: a centroid's gradient is the sum of those of the weights that share it (arXiv:1510.00149, equation 3)."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from compression.datasets import Samples
from compression.deep.layers import arrays
from compression.deep.pruning import mean_loss
from compression.deep.sharing import Shared, share
from compression.onnx_torch import OnnxNet
from compression.progress import Progress, no_progress
from compression.retraining import Retraining, retrain


class _Layer:
    """A weight tensor of few values as a differentiable function of these."""

    def __init__(self, shared: Shared) -> None:
        indices = torch.from_numpy(shared.indices)
        self._shape = indices.shape
        self._places = torch.nonzero(indices.reshape(-1), as_tuple=True)[0]
        self._owners = indices.reshape(-1)[self._places] - 1
        self.centroids = torch.from_numpy(shared.centroids.copy()).requires_grad_()

    def weights(self) -> Tensor:
        flat = self.centroids.new_zeros(self._shape.numel())
        return flat.scatter(0, self._places, self.centroids.index_select(0, self._owners)).reshape(self._shape)


def train_shared(
    net: OnnxNet,
    samples: Samples,
    how: Retraining,
    shared: Mapping[str, Shared],
    *,
    seed: int,
    coarse: bool = False,
    teacher: OnnxNet | None = None,
    progress: Progress = no_progress,
) -> None:
    """Put the shared values into `net` and train them, and with them all other weights; which weights share a value stays as it is.

    `coarse`: in the end centroids are rounded to the 8 bits of bfloat16's mantissa, which halves what a list of them costs.
    """
    layers = {name: _Layer(own) for name, own in shared.items()}
    free = {name: weight for name, weight in net.weights.items() if name not in layers}
    if how.epochs:
        retrain(
            net,
            samples,
            how,
            seed=seed,
            teacher=teacher,
            trained={**free, **{name: layer.centroids for name, layer in layers.items()}},
            substitutes=lambda: {name: layer.weights() for name, layer in layers.items()},
            progress=progress,
            label="shared values",
        )
    with torch.no_grad():
        for name, layer in layers.items():
            if coarse:
                layer.centroids.copy_(layer.centroids.to(torch.bfloat16).to(torch.float32))
            net.weights[name].copy_(layer.weights())


def search_bits(
    net: OnnxNet,
    samples: Samples,
    *,
    choices: Sequence[int],
    tolerance: float,
    progress: Progress = no_progress,
) -> dict[str, int]:
    """For each layer the fewest bits of `choices`, rising, whose sharing alone, untrained, adds at most `tolerance` nats to the loss.

    Where none does, the most bits.
    """
    before = mean_loss(net, samples, {})
    found: dict[str, int] = {}
    with progress("bits", len(net.layers)) as advance:
        for name, own in arrays(net).items():
            losses = ((bits, mean_loss(net, samples, {name: share(own, 1 << bits).weights()})) for bits in choices)
            found[name] = next((bits for bits, loss in losses if loss - before <= tolerance), choices[-1])
            advance(1)
    return found


def distinct_values(weights: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> int:
    """How many values other than zero a layer has."""
    return int(np.unique(weights[weights != 0]).size)
