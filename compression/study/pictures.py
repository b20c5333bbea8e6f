"""A study's document as pictures: the front, and a sweep with its saturation point. SVG; the same document gives the same bytes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.isotonic import IsotonicRegression

from compression.study.document import sweep_scores

_STYLE: Any = {"svg.hashsalt": "smallfleet", "svg.fonttype": "path", "font.size": 9.0, "font.family": "DejaVu Sans"}
_OTHER, _FRONT, _LIMIT = "#9aa5b1", "#0b6e4f", "#b3261e"
_UNITS = {
    "size_bytes": "file, bytes",
    "packed_bytes": "packed, bytes",
    "delta_bytes": "delta, bytes",
    "param_count": "parameters",
    "macs": "multiply-accumulates",
    "peak_activation_bytes": "peak of activations, bytes",
    "latency_p50_ns": "median latency, ns",
    "energy_j": "energy, J",
    "training_s": "training, s",
    "accuracy": "accuracy",
}


def pareto_picture(document: Mapping[str, Any], path: Path, *, cost: str) -> None:
    """Accuracy with its interval against a cost, every complete point; the front is joined, limits of either metric are lines."""
    points = [p for p in document["points"] if p["state"] == "complete" and p["metrics"][cost] is not None]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(6.4, 4.0), layout="constrained")
        axes = figure.subplots()
        for is_front, colour, label in ((False, _OTHER, "other points"), (True, _FRONT, "front within the budgets")):
            _cloud(axes, [p for p in points if p["on_front"] is is_front], cost, colour, label)
        front = sorted((p["metrics"][cost], p["metrics"]["accuracy"]) for p in points if p["on_front"])
        axes.step([x for x, _ in front], [y for _, y in front], where="post", color=_FRONT, linewidth=1.2)
        for budget in document["budgets"]:
            limit = budget.get("at_most", budget.get("at_least"))
            if budget["metric"] == cost:
                axes.axvline(limit, color=_LIMIT, linestyle="--", linewidth=1)
            elif budget["metric"] == "accuracy":
                axes.axhline(limit, color=_LIMIT, linestyle="--", linewidth=1)
        if points and min(p["metrics"][cost] for p in points) > 0:
            axes.set_xscale("log")
        _finish(axes, document["name"], _UNITS[cost], "accuracy of the files, 95 % intervals")
        _save(figure, path)


def _cloud(axes: Axes, points: Sequence[Mapping[str, Any]], cost: str, colour: str, label: str) -> None:
    if not points:
        return
    right = np.asarray([p["metrics"]["accuracy"] for p in points])
    low, high = np.asarray([p["metrics"]["accuracy_ci95"] for p in points]).T
    # Rounding may put a mean a hair outside of the interval of its rounded count.
    spread = np.clip([right - low, high - right], 0, None)
    costs = [p["metrics"][cost] for p in points]
    axes.errorbar(costs, right, yerr=spread, fmt="o", markersize=4, color=colour, elinewidth=0.7, label=label)


def saturation_picture(document: Mapping[str, Any], path: Path, *, parameter: str) -> None:
    """Accuracy against a swept parameter: each net, the mean of each level, a monotone fit, and the saturation point, if there is one.

    The fit is isotonic regression (pool adjacent violators), which assumes only that more does not harm; it is a picture and no test.
    """
    levels = sorted({float(p["parameters"][parameter]) for p in document["points"] if p["state"] == "complete"})
    scores = sweep_scores(document["points"], parameter, levels)
    (found,) = (row for row in document["saturation"] if row["parameter"] == parameter)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(6.4, 4.0), layout="constrained")
        axes = figure.subplots()
        axes.plot(np.tile(levels, len(scores)), scores.ravel(), ".", color=_OTHER, markersize=4, label="one net")
        if len(scores):
            means = scores.mean(axis=0)
            axes.plot(levels, means, "o", color=_FRONT, markersize=6, label="mean")
            fit = IsotonicRegression().fit_transform(levels, means)
            axes.plot(levels, fit, color=_FRONT, linewidth=1, label="monotone fit")
        if found["saturates_at"] is not None:
            axes.axvline(found["saturates_at"], color=_LIMIT, linestyle="--", linewidth=1, label="saturation point")
        _finish(axes, document["name"], parameter, "accuracy of the files")
        _save(figure, path)


def _finish(axes: Axes, title: str, x_label: str, y_label: str) -> None:
    axes.set_title(title)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(visible=True, linewidth=0.3)
    axes.legend(loc="lower right", frameon=False)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
