"""Which points of a study are worth having: budgets, dominance, the front and its knee. Pure.

A metric that is not known (None) is within no budget and on no front: what was not measured has not been shown.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Goal = Literal["max", "min"]
Metrics = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Objective:
    """A metric and the direction in which it is better."""

    metric: str
    goal: Goal

    def is_better(self, one: float, other: float) -> bool:
        """Whether `one` is better than `other`."""
        return one > other if self.goal == "max" else one < other


@dataclass(frozen=True, slots=True)
class Budget:
    """A hard limit of a metric, itself allowed: at most or at least so much."""

    metric: str
    at_most: float | None = None
    at_least: float | None = None

    def excess(self, value: float) -> float:
        """By how much the limit is broken, relative to it; 0 or less where it is kept."""
        if self.at_most is not None:
            return (value - self.at_most) / max(abs(self.at_most), 1.0)
        if self.at_least is not None:
            return (self.at_least - value) / max(abs(self.at_least), 1.0)
        return 0.0

    def is_kept(self, metrics: Metrics) -> bool:
        """Whether the metric is known and within the limit."""
        value = metrics.get(self.metric)
        return value is not None and self.excess(value) <= 0

    def __str__(self) -> str:
        if self.at_most is not None:
            return f"{self.metric} at most {self.at_most:,.12g}"
        return f"{self.metric} at least {self.at_least:,.12g}"


def within_budgets(metrics: Metrics, budgets: Sequence[Budget]) -> bool:
    """Whether every limit is kept."""
    return all(budget.is_kept(metrics) for budget in budgets)


def dominates(one: Metrics, other: Metrics, objectives: Sequence[Objective]) -> bool:
    """Whether `one` is at least as good everywhere and better somewhere. False where either lacks an objective's metric."""
    better = False
    for objective in objectives:
        a, b = one.get(objective.metric), other.get(objective.metric)
        if a is None or b is None or objective.is_better(b, a):
            return False
        better = better or objective.is_better(a, b)
    return better


def front_of(points: Sequence[Metrics], objectives: Sequence[Objective], budgets: Sequence[Budget] = ()) -> list[int]:
    """Indices of the points within the budgets that no other such point dominates; of equal points, all."""
    candidates = [
        index
        for index, metrics in enumerate(points)
        if within_budgets(metrics, budgets) and all(metrics.get(o.metric) is not None for o in objectives)
    ]
    return [
        index
        for index in candidates
        if not any(dominates(points[other], points[index], objectives) for other in candidates)
    ]


def knee_of(points: Sequence[Metrics], front: Sequence[int], objectives: Sequence[Objective]) -> int | None:
    """The index of the front's point nearest to the best of every objective at once; None for an empty front.

    Every objective is scaled to 0..1 over the front, costs by their logarithms where all are above 0, because sizes span magnitudes; the
    distance is Euclidean (M. Zeleny, "Compromise programming", in Multiple Criteria Decision Making, 1973). Of equal points, the first.
    """
    if not front:
        return None
    columns = [_scaled([_known(points[index], objective) for index in front], objective) for objective in objectives]
    distances = [math.hypot(*(column[place] for column in columns)) for place in range(len(front))]
    return front[distances.index(min(distances))]


def _known(metrics: Metrics, objective: Objective) -> float:
    value = metrics.get(objective.metric)
    if value is None:
        raise ValueError(f"a point of the front has no {objective.metric}")
    return value


def _scaled(values: list[float], objective: Objective) -> list[float]:
    """0 for the best, 1 for the worst; 0 for all where they are equal."""
    if objective.goal == "min" and min(values) > 0:
        values = [math.log(value) for value in values]
    best, worst = (max(values), min(values)) if objective.goal == "max" else (min(values), max(values))
    return [(value - best) / (worst - best) if worst != best else 0.0 for value in values]
