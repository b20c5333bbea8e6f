"""Few values that the weights of a layer share: k-means in one dimension, zeros left alone. Pure.

Han et al. (arXiv:1510.00149), section 3: the centroids start evenly between the least and the greatest weight, because the few large
weights matter most and would have no centroid of their own if the start followed the density.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compression.deep.masks import Weights

Centroids = NDArray[np.float32]
ROUNDS = 200


@dataclass(frozen=True, slots=True)
class Shared:
    """A layer in few values: `indices` (int64, the layer's shape) are 0 where the weight is zero, else 1 + the place of its centroid."""

    centroids: Centroids
    indices: NDArray[np.int64]

    def weights(self) -> Weights:
        """The layer, float32."""
        return np.concatenate((np.zeros(1, np.float32), self.centroids))[self.indices]


def share(weights: Weights, values: int, *, rate_weight: float = 0.0) -> Shared:
    """Let the non-zero weights share at most `values` values. Of fewer distinct weights every one keeps its own.

    `rate_weight` above 0 gives up some closeness for fewer bits: a weight takes the centroid with the least squared distance, in units of the
    layer's variance, plus `rate_weight` times the bits of its index at the frequencies found so far (P. Chou, T. Lookabaugh, R. Gray,
    "Entropy-constrained vector quantization", IEEE Trans. ASSP 37, 1989). Centroids that nobody takes vanish.

    Raises:
        ValueError: fewer than one value, or weights that are not finite.
    """
    if values < 1 or not np.isfinite(weights).all():
        raise ValueError("sharing needs at least one value and finite weights")
    kept = weights != 0
    samples = weights[kept].astype(np.float64)
    distinct = np.unique(samples)
    if distinct.size <= values:
        centroids = distinct
        nearest = np.searchsorted(distinct, samples)
    else:
        centroids, nearest = cluster(samples, values, rate_weight=rate_weight)
    indices = np.zeros(weights.shape, np.int64)
    indices[kept] = nearest + 1
    return Shared(centroids.astype(np.float32), indices)


def cluster(
    samples: NDArray[np.float64], values: int, *, rate_weight: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Centroids, rising, and the place of each sample's: Lloyd's iteration from an even start to where nothing changes."""
    centroids = np.linspace(samples.min(), samples.max(), values)
    penalties = np.zeros(values)
    scale = rate_weight * float(samples.var())
    before = None
    for _ in range(ROUNDS):
        places = _nearest(samples, centroids, scale * penalties)
        if before is not None and np.array_equal(before, places):
            break
        before = places
        counts = np.bincount(places, minlength=centroids.size)
        used = counts > 0
        if scale:
            # Without a rate an empty centroid may find members again; with one it costs too much for ever.
            places, centroids, counts = (np.cumsum(used) - 1)[places], centroids[used], counts[used]
            before, used = places, np.ones(counts.size, np.bool_)
            penalties = np.log2(samples.size / counts)
        sums = np.bincount(places, weights=samples, minlength=centroids.size)
        centroids = np.where(used, np.divide(sums, counts, where=used, out=np.zeros_like(sums)), centroids)
    places = _nearest(samples, centroids, scale * (penalties if scale else np.zeros(centroids.size)))
    used = np.bincount(places, minlength=centroids.size) > 0
    return centroids[used], (np.cumsum(used) - 1)[places]


def _nearest(
    samples: NDArray[np.float64], centroids: NDArray[np.float64], costs: NDArray[np.float64]
) -> NDArray[np.int64]:
    """The centroid with the least squared distance plus cost for each sample; of equal ones the lower."""
    if not costs.any():
        return np.searchsorted((centroids[1:] + centroids[:-1]) / 2, samples).astype(np.int64)
    best, found = np.full(samples.size, np.inf), np.zeros(samples.size, np.int64)
    for place, (centroid, cost) in enumerate(zip(centroids, costs, strict=True)):
        distances = np.square(samples - centroid) + cost
        better = distances < best
        best[better], found[better] = distances[better], place
    return found
