"""How sparse a layer is when: from dense at progress 0 to its final sparsity at progress 1. Pure."""

from collections.abc import Callable

Schedule = Callable[[float, float], float]
"""Progress in 0..1 and the final sparsity to the sparsity at that moment."""


def cubic(progress: float, final: float) -> float:
    """Fast while there is much to spare, slow towards the end: M. Zhu, S. Gupta, "To prune, or not to prune" (arXiv:1710.01878), equation 1."""
    _check(progress, final)
    return final * (1 - (1 - progress) ** 3)


def rounds(count: int) -> Schedule:
    """`count` rounds of pruning, each of which leaves the same share of what the one before left, with retraining between them.

    The iterations of S. Han et al., "Learning both Weights and Connections" (arXiv:1506.02626), section 3.3. The last round comes
    before the end, so that what it leaves is retrained too.

    Raises:
        ValueError: no rounds.
    """
    if count < 1:
        raise ValueError(f"{count} rounds of pruning")

    def schedule(progress: float, final: float) -> float:
        _check(progress, final)
        reached = min(int(progress * count) + 1, count)
        return 1 - float((1 - final) ** (reached / count))

    return schedule


def _check(progress: float, final: float) -> None:
    if not 0 <= progress <= 1 or not 0 <= final <= 1:
        raise ValueError(f"progress {progress} or sparsity {final} is not in 0..1")
