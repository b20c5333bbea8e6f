"""How far one net's answers are from another's, in nats: a finer measure than how often their classes differ. No torch."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

LEAST_SHARE = 1e-7
"""What a probability of 0 is taken for."""


def divergence(answers: Array, reference: Array) -> float:
    """Mean Kullback-Leibler divergence of class scores (a row a sample; logits or probabilities) from the reference's, in nats a sample."""
    said, wanted = (_log_shares(scores.reshape(len(scores), -1)) for scores in (answers, reference))
    return float((np.exp(wanted) * (wanted - said)).sum(axis=1).mean())


def _log_shares(scores: Array) -> NDArray[np.float64]:
    scores = scores.astype(np.float64)
    if (scores >= 0).all() and np.allclose(scores.sum(axis=1), 1, atol=1e-3):
        scores = np.log(np.maximum(scores, LEAST_SHARE))
    scores = scores - scores.max(axis=1, keepdims=True)
    found: NDArray[np.float64] = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return found
