"""How many weights each layer keeps: a given or even share, as many as keep the loss alike, or by one score for all layers. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from compression.deep.masks import Mask, Weights, lamp_scores
from compression.deep.schedules import Schedule

Curve = Sequence[tuple[float, float]]
"""Sparsities of one layer alone, rising, and how much each adds to the loss."""

_HALVINGS = 60


class Allocation(Protocol):
    """Who says how many weights each layer keeps at a moment of the pruning."""

    def kept(self, weights: Mapping[str, Weights], masks: Mapping[str, Mask], progress: float) -> dict[str, int]:
        """How many, by layer, at `progress` in 0..1."""


@dataclass(frozen=True, slots=True)
class ByLayer:
    """Every layer goes to a final sparsity of its own."""

    finals: Mapping[str, float]
    schedule: Schedule

    def kept(self, weights: Mapping[str, Weights], masks: Mapping[str, Mask], progress: float) -> dict[str, int]:
        """How many, by layer; those without a final sparsity keep all."""
        shares = {name: self.schedule(progress, self.finals.get(name, 0.0)) for name in weights}
        return {name: round(own.size * (1 - shares[name])) for name, own in weights.items()}


@dataclass(frozen=True, slots=True)
class Together:
    """All layers go to one final sparsity together; which gives how much follows from `lamp_scores` of the moment."""

    final: float
    schedule: Schedule

    def kept(self, weights: Mapping[str, Weights], masks: Mapping[str, Mask], progress: float) -> dict[str, int]:
        """How many, by layer."""
        total = round(sum(own.size for own in weights.values()) * (1 - self.schedule(progress, self.final)))
        scores = [lamp_scores(np.where(masks[name], own, np.float32(0))).reshape(-1) for name, own in weights.items()]
        layer_of = np.repeat(np.arange(len(scores)), [own.size for own in scores])
        joined = np.concatenate(scores)
        alive = np.flatnonzero(joined)
        order = alive[np.argsort(-joined[alive], kind="stable")[:total]]
        counts = np.bincount(layer_of[order], minlength=len(scores))
        return {name: int(count) for name, count in zip(weights, counts, strict=True)}


@dataclass(frozen=True, slots=True)
class Apart:
    """Some layers by one allocation, all others by another."""

    some: Allocation
    names: frozenset[str]
    others: Allocation

    def kept(self, weights: Mapping[str, Weights], masks: Mapping[str, Mask], progress: float) -> dict[str, int]:
        """How many, by layer."""
        found: dict[str, int] = {}
        for is_named, allocation in ((True, self.some), (False, self.others)):
            part = {name: own for name, own in weights.items() if (name in self.names) is is_named}
            found |= allocation.kept(part, masks, progress) if part else {}
        return found


def equal_loss(curves: Mapping[str, Curve], sizes: Mapping[str, int], sparsity: float) -> dict[str, float]:
    """Final sparsities with the mean `sparsity` over all weights, at which every layer alone adds the same to the loss.

    The sensitivity of S. Han et al. (arXiv:1506.02626), section 3.3 and figure 6, with the layers' thresholds found by halving instead of by hand.
    Between the measured sparsities a curve is straight; where it falls, it counts as flat. It begins with no loss at sparsity 0.

    Raises:
        ValueError: the curves do not reach so far; then they must be measured at larger sparsities.
    """
    rising = {name: _rising(curve) for name, curve in curves.items()}
    total = sum(sizes[name] for name in curves)
    low, high = 0.0, max(float(losses[-1]) for _, losses in rising.values())

    def at(loss: float) -> dict[str, float]:
        return {name: _reached(loss, *curve) for name, curve in rising.items()}

    def mean(found: Mapping[str, float]) -> float:
        return sum(found[name] * sizes[name] for name in found) / total

    most = mean(at(high))
    if most < sparsity:
        raise ValueError(f"the curves end at a mean sparsity of {most:.4f}, wanted is {sparsity:.4f}")
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if mean(at(middle)) >= sparsity else (middle, high)
    return at(high)


def _rising(curve: Curve) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], ...]:
    """Sparsities and losses from (0, 0) on, the losses never falling."""
    sparsities = np.array([0.0, *(sparsity for sparsity, _ in curve)])
    losses = np.maximum.accumulate(np.array([0.0, *(loss for _, loss in curve)]))
    return sparsities, losses


def _reached(
    loss: float,
    sparsities: np.ndarray[tuple[int], np.dtype[np.float64]],
    losses: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> float:
    """The greatest sparsity whose loss is at most `loss`."""
    place = int(np.searchsorted(losses, loss, side="right"))
    if place == losses.size:
        return float(sparsities[-1])
    share = (loss - losses[place - 1]) / (losses[place] - losses[place - 1])
    return float(sparsities[place - 1] + share * (sparsities[place] - sparsities[place - 1]))
