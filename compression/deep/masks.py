"""Which weights of a layer stay: those with the largest scores. A weight that was pruned never comes back. Pure."""

import numpy as np
from numpy.typing import NDArray

from compression.errors import ModelUnusable

Weights = NDArray[np.float32]
Mask = NDArray[np.bool_]


def magnitudes(weights: Weights) -> NDArray[np.float64]:
    """The score of S. Han et al. (arXiv:1506.02626): float64 of the shape of `weights`."""
    scores: NDArray[np.float64] = np.abs(weights.astype(np.float64))
    return scores


def lamp_scores(weights: Weights) -> NDArray[np.float64]:
    """A weight's square by the sum of the squares of all that are at least as large: comparable between layers.

    J. Lee et al., "Layer-adaptive sparsity for the magnitude-based pruning" (arXiv:2010.07611), equation 4. The largest weight of every
    layer has the score 1, so no layer becomes empty while there are as many weights to keep as layers. Zeros have the score 0.
    """
    squares = np.square(weights.astype(np.float64)).reshape(-1)
    places = np.flatnonzero(squares)  # of a pruned layer few, and sorting is what takes time
    places = places[np.argsort(squares[places], kind="stable")]
    scores = np.zeros_like(squares)
    scores[places] = squares[places] / np.cumsum(squares[places][::-1])[::-1]
    return scores.reshape(weights.shape)


def narrowed(mask: Mask, scores: NDArray[np.float64], keep: int, *, layer: str) -> Mask:
    """The mask with no more than the `keep` largest scores of those it had; of equal ones the first.

    Raises:
        ModelUnusable: nothing would be left of `layer`.
    """
    kept = np.flatnonzero(mask)
    if keep < 1 or not kept.size:
        raise ModelUnusable(f"{layer}: pruning leaves no weight of {mask.size}; give this layer less sparsity")
    if keep >= kept.size:
        return mask.copy()
    order = np.argsort(-scores.reshape(-1)[kept], kind="stable")
    narrow = np.zeros(mask.size, np.bool_)
    narrow[kept[order[:keep]]] = True
    return narrow.reshape(mask.shape)
