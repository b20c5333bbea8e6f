"""Axes of cost whose ticks read as the rest of the page does."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fleet.dashboards.charts.style import Figure
from fleet.dashboards.formats import tick_text

_LEAST_STEPS = 4


@dataclass(frozen=True, slots=True)
class CostAxis:
    """An axis, and where a cost stands on it.

    Attributes:
        spec: Plotly's description.
        zero: what nothing is drawn at; on a log axis a place of its own, left of the first decade.
    """

    spec: Figure
    zero: float

    def place(self, cost: float) -> float:
        """The number to draw for a cost."""
        return cost or self.zero

    def share(self, cost: float) -> float:
        """How far along the axis a cost stands, from 0 to 1."""
        low, high = self.spec["range"]
        at = math.log10(self.place(cost)) if self.spec["type"] == "log" else self.place(cost)
        return float((at - low) / (high - low))


def linear_axis(title: str, costs: Sequence[float], text: Callable[[float], str]) -> CostAxis:
    """From 0 to a little beyond the highest cost."""
    highest = max(costs, default=0.0) or 1.0
    step = _round_step(highest / _LEAST_STEPS)
    ticks = [step * place for place in range(math.ceil(highest / step) + 1)]
    spec = {
        "type": "linear",
        "title": {"text": title},
        "tickvals": ticks,
        "ticktext": ["0" if tick == 0 else tick_text(text(tick)) for tick in ticks],
        "range": [-0.06 * highest, 1.12 * highest],
        "zeroline": False,
    }
    return CostAxis(spec, zero=0.0)


def log_axis(title: str, costs: Sequence[float], text: Callable[[float], str]) -> CostAxis:
    """Whole decades around the costs that are not 0; half a decade left of them a tick that says 0, if a cost is."""
    positive = [cost for cost in costs if cost > 0] or [1.0]
    first = math.floor(math.log10(min(positive)))
    last = max(first + 1, math.ceil(math.log10(max(positive))))
    decades = [10.0**exponent for exponent in range(first, last + 1)]
    words = [tick_text(text(decade)) for decade in decades]
    zero = 10.0 ** (first - 0.5)
    with_zero = any(cost == 0 for cost in costs)
    low = first - (0.75 if with_zero else 0.15)
    spec = {
        "type": "log",
        "title": {"text": title},
        "tickvals": [zero, *decades] if with_zero else decades,
        "ticktext": ["0", *words] if with_zero else words,
        "range": [low, last + 0.15],
    }
    return CostAxis(spec, zero=zero)


def _round_step(least: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    power: float = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least)
