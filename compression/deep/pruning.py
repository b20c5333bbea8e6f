"""Pruning a net while it is trained on: masks that only ever narrow, laid on the weights after every step of the optimiser."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from compression.datasets import Samples
from compression.deep.allocation import Allocation, Curve
from compression.deep.layers import arrays, layers_by_weight
from compression.deep.masks import Mask, Weights, magnitudes, narrowed
from compression.onnx_torch import OnnxNet
from compression.progress import Progress, no_progress
from compression.retraining import Moment, Retraining, batches, label_loss, retrain, scores

SENSITIVITY_SPARSITIES = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
_BATCH = 128


class Pruner:
    """The masks of a net's layers; pass `before_step` and `after_step` to `retrain`."""

    def __init__(self, net: OnnxNet, allocation: Allocation, *, every: int, until: float) -> None:
        """Narrow the masks every so many steps, to their end at `until` (0 to 1) of the training. Zeros count as pruned before."""
        self._net = net
        self._allocation = allocation
        self._every = every
        self._until = until
        self._is_final = False
        self._names = {name: layer.name for name, layer in layers_by_weight(net).items()}
        self.masks: dict[str, Mask] = {name: own != 0 for name, own in arrays(net).items()}
        self._factors: dict[str, Tensor] = {}

    def before_step(self, moment: Moment) -> None:
        """Narrow the masks where it is time to.

        Raises:
            ModelUnusable: a layer would be empty; the message names it.
        """
        if self._is_final:
            return
        reached = moment.progress / self._until if self._until else 1.0
        if moment.step % self._every == 0 or reached >= 1:
            self._narrow(min(reached, 1.0))

    def after_step(self, moment: Moment) -> None:
        """Make the pruned weights zero again; at the end of the training the masks are final."""
        if moment.progress == 1 and not self._is_final:
            self._narrow(1.0)
        self._apply()

    def _narrow(self, progress: float) -> None:
        weights = arrays(self._net)
        for name, keep in self._allocation.kept(weights, self.masks, progress).items():
            self.masks[name] = narrowed(self.masks[name], magnitudes(weights[name]), keep, layer=self._names[name])
        self._factors = {name: torch.from_numpy(mask.astype(np.float32)) for name, mask in self.masks.items()}
        self._is_final = progress >= 1
        self._apply()

    def _apply(self) -> None:
        with torch.no_grad():
            weights = self._net.weights
            for name, factors in self._factors.items():
                weights[name].mul_(factors)


def prune(
    net: OnnxNet,
    samples: Samples,
    how: Retraining,
    allocation: Allocation,
    *,
    every: int,
    until: float,
    seed: int,
    teacher: OnnxNet | None = None,
    progress: Progress = no_progress,
) -> dict[str, Mask]:
    """Prune `net` in place while it is retrained; the masks by weight name. Arguments as of `Pruner` and `retrain`."""
    pruner = Pruner(net, allocation, every=every, until=until)
    retrain(
        net,
        samples,
        how,
        seed=seed,
        teacher=teacher,
        before_step=pruner.before_step,
        after_step=pruner.after_step,
        progress=progress,
        label="pruning",
    )
    return pruner.masks


def mean_loss(net: OnnxNet, samples: Samples, instead: Mapping[str, Weights]) -> float:
    """Cross-entropy on labelled samples, in nats, with other weights for some."""
    tensors = {name: torch.from_numpy(own) for name, own in instead.items()}
    with torch.no_grad():
        losses = [
            label_loss(scores(net, feeds, tensors), labels).item() * len(labels)
            for feeds, labels in batches(net, samples, _BATCH)
        ]
    return sum(losses) / len(samples)


def sensitivity(
    net: OnnxNet,
    samples: Samples,
    *,
    sparsities: Sequence[float] = SENSITIVITY_SPARSITIES,
    progress: Progress = no_progress,
) -> dict[str, Curve]:
    """For each layer, what pruning it alone, with no retraining, adds to the loss: Han et al. (arXiv:1506.02626), figure 6."""
    weights, names = arrays(net), layers_by_weight(net)
    before = mean_loss(net, samples, {})
    curves: dict[str, Curve] = {}
    with progress("sensitivity", len(weights)) as advance:
        for name, own in weights.items():
            curve = []
            for sparsity in sparsities:
                keep = max(1, round(own.size * (1 - sparsity)))
                mask = narrowed(np.ones(own.shape, np.bool_), magnitudes(own), keep, layer=names[name].name)
                curve.append((sparsity, mean_loss(net, samples, {name: own * mask}) - before))
            curves[name] = curve
            advance(1)
    return curves
