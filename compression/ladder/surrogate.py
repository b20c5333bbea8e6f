"""What codes cost, as a number that has a slope: close to what the codec charges, which gives a tensor's codes the odds of their channel.

The encoder codes a tensor's codes in contexts by the density of the channels along one axis (`delta.encoder.ways.steps`), whichever
is best. A non-zero among few is dear: binary logarithm of the odds against it, its sign, and the difference between "zero" said with and without.
Magnitudes beyond 1 take about 1.5 nats for each e-fold (an Elias-like law that fits the streams of trained differences).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from delta.encoder.channels import axes

Numbers = NDArray[np.float64]

NATS_PER_OCTAVE_OF_E = 1.5
TENSOR_NATS = 64.0
"""A tensor that changes at all needs a span, operands and a line of contexts: about 12 bytes."""
_PRIOR = 0.5


@dataclass(frozen=True, slots=True)
class Price:
    """Nats that a non-zero costs more than a zero at each item of a tensor (flat), and what zeros and shares cost together."""

    per_change: Numbers
    rest: float

    def nats(self, codes: NDArray[np.float64] | NDArray[np.int16]) -> float:
        """What these codes cost, about."""
        sizes = np.abs(codes.reshape(-1).astype(np.float64))
        if not sizes.any():
            return 0.0
        beyond = NATS_PER_OCTAVE_OF_E * np.log(np.maximum(sizes, 1))
        return float((np.minimum(sizes, 1) * self.per_change + beyond).sum()) + self.rest


def price(codes: NDArray[np.int16], *, dims: Sequence[int]) -> Price:
    """Prices that follow from today's codes: by the axis along whose channels they are told shortest."""
    changed = (codes.reshape(-1) != 0).astype(np.float64)
    best: tuple[float, Numbers, float] | None = None
    for axis in axes(tuple(dims), changed.size):
        counts = changed.reshape(-1, axis.channels, axis.inner).sum(axis=(0, 2))
        items = changed.size / axis.channels
        total = float(counts.sum())
        # Channels are drawn towards the tensor: a channel of few items says little of its own density.
        mean = (total + _PRIOR) / (changed.size + 2 * _PRIOR)
        share = np.clip((counts + 4 * mean) / (items + 4), 1e-6, 1 - 1e-6)
        zeros = -np.log1p(-share)
        odds = np.log((1 - share) / share) + np.log(2)
        # Each used class of density costs a symbol for each channel.
        said = axis.channels * 0.7 if axis.channels > 1 else 0.0
        nats = float((counts * odds + items * zeros).sum()) + said
        if best is None or nats < best[0]:
            per_item = np.broadcast_to(
                odds[None, :, None], (changed.size // (axis.channels * axis.inner), axis.channels, axis.inner)
            )
            best = nats, per_item.reshape(-1), float(items * zeros.sum()) + said + TENSOR_NATS
    if best is None:
        raise ValueError("a tensor without items has no price")
    return Price(np.maximum(best[1], np.log(2)), best[2])
