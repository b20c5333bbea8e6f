"""When a point is hopeless, so that training it further is a waste. Pure.

Optuna's pruners judge one objective only. The rule here, after every epoch of a point's first net from epoch `after` on:

    a point is given up if some finished point costs no more by every objective that is known before training,
    and was more accurate by at least `margin` after the same number of epochs.

All points of a study follow one schedule of the learning rate, so equal epochs are comparable. What training changes (packed bytes, latency)
cannot be promised before it: where such a metric is an objective, nothing is given up. The same where the settings of compression differ,
since these change costs: only points with equal ones are compared. The rule can be wrong, where a slow starter would have overtaken by more
than the margin; with no `[early_stop]` table nothing is given up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from compression.study.front import Objective

KNOWN_BEFORE_TRAINING = frozenset({"param_count", "size_bytes", "macs", "peak_activation_bytes"})


@dataclass(frozen=True, slots=True)
class Curve:
    """How a point came along: its costs before training, and the accuracy after each epoch.

    Attributes:
        settings: of compression; only points of equal ones are compared.
    """

    number: int
    costs: Mapping[str, float | None]
    settings: Mapping[str, object]
    accuracies: Sequence[float]


def beaten_by(
    point: Curve, finished: Sequence[Curve], objectives: Sequence[Objective], *, after: int, margin: float
) -> Curve | None:
    """The finished point that makes `point` hopeless at the epoch it has reached, or None."""
    epochs = len(point.accuracies)
    costs = [objective for objective in objectives if objective.metric != "accuracy"]
    if epochs < max(after, 1) or any(objective.metric not in KNOWN_BEFORE_TRAINING for objective in costs):
        return None
    for other in finished:
        if other.settings != point.settings or len(other.accuracies) < epochs:
            continue
        if other.accuracies[epochs - 1] - point.accuracies[-1] >= margin and _costs_no_more(other, point, costs):
            return other
    return None


def _costs_no_more(one: Curve, other: Curve, objectives: Sequence[Objective]) -> bool:
    for objective in objectives:
        a, b = one.costs.get(objective.metric), other.costs.get(objective.metric)
        if a is None or b is None or objective.is_better(b, a):
            return False
    return True
