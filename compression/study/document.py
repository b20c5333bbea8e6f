"""A study's results as one JSON document `smallfleet-study/1`, which the registry stores and shows.

Its schema is `schema/study-1.json`. The same storage gives the same document, byte for byte: nothing of the moment of writing is in it.
"""

import functools
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from compression.errors import StudyUnusable
from compression.study.front import Budget, front_of, knee_of, within_budgets
from compression.study.kept import unpacked
from compression.study.saturation import ALPHA, MIN_BLOCKS, Saturation, saturation_of_front, saturation_of_sweep
from compression.study.space import is_numeric
from compression.study.spec import GOALS, SCHEMA, StudySpec
from compression.study.storage import FAILURE, points_of

LIMIT_BYTES = 4_000_000
_LOST = "its worker ended in the middle every time it was tried"

Point = Mapping[str, Any]


@functools.cache
def document_schema() -> dict[str, Any]:
    """The JSON Schema of the document."""
    found: dict[str, Any] = json.loads((Path(__file__).parent / "schema" / "study-1.json").read_text(encoding="utf-8"))
    return found


def document_of(spec: StudySpec, study: optuna.Study) -> dict[str, Any]:
    """What the study has found by now. Points in the queue or under way are not in it.

    Raises:
        StudyUnusable: no point has come to its end yet.
    """
    trials = {number: trial for number, trial in points_of(study).items() if trial.state.is_finished()}
    if not trials:
        raise StudyUnusable(f"study {spec.name!r} has no finished point yet")
    points = [_point(number, trial) for number, trial in trials.items()]
    _mark(spec, points)
    return {
        "schema": SCHEMA,
        "name": spec.name,
        "spec": spec.document,
        "seed": spec.seed,
        "dataset_sha256": study.user_attrs["dataset_sha256"],
        "versions": next((t.user_attrs["versions"] for t in trials.values() if "versions" in t.user_attrs), {}),
        "objectives": [{"metric": objective.metric, "goal": objective.goal} for objective in spec.objectives],
        "budgets": [_budget(budget) for budget in spec.budgets],
        "points": points,
        "saturation": [*_sweeps(spec, points), *_fronts(spec, points, trials)],
    }


def document_text(document: Mapping[str, Any]) -> str:
    """The document as it is written to a file."""
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def require_measured(document: Mapping[str, Any]) -> None:
    """See that a run measured anything.

    Raises:
        StudyUnusable: every point failed or was given up; the message has the first reason.
    """
    points = document["points"]
    if points and not any(point["state"] == "complete" for point in points):
        raise StudyUnusable(f"none of {len(points)} points was measured; point 0: {points[0]['failure']}")


def knee_number(spec: StudySpec, document: Mapping[str, Any]) -> int | None:
    """The number of the front's knee; None where nothing is within the budgets."""
    points = document["points"]
    front = [index for index, point in enumerate(points) if point["on_front"]]
    place = knee_of([point["metrics"] for point in points], front, spec.objectives)
    return None if place is None else int(points[place]["number"])


def _point(number: int, trial: FrozenTrial) -> dict[str, Any]:
    said = trial.user_attrs
    state = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}.get(trial.state, "failed")
    metrics: dict[str, Any] = {name: said.get("metrics", {}).get(name) for name in GOALS}
    # A count of bytes or operations is a whole number again.
    metrics = {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in metrics.items()
    }
    metrics["accuracy"] = said.get("metrics", {}).get("accuracy")
    failure = {"complete": "", "pruned": said.get("hopeless", "")}.get(state, said.get(FAILURE, _LOST))
    return {
        "number": number,
        "state": state,
        "parameters": said.get("parameters", {}),
        "metrics": metrics | {"accuracy_ci95": said.get("accuracy_ci95")},
        "reasons": said.get("reasons", {}),
        "nets": [{key: net[key] for key in ("repeat", "fold", "accuracy")} for net in said.get("nets", [])],
        "machine": said.get("machine", ""),
        "sha256": said.get("sha256"),
        "on_front": False,
        "within_budgets": False,
        "failure": failure,
    }


def _mark(spec: StudySpec, points: Sequence[dict[str, Any]]) -> None:
    complete = [point for point in points if point["state"] == "complete"]
    front = front_of([point["metrics"] for point in complete], spec.objectives, spec.budgets)
    for index, point in enumerate(complete):
        point["within_budgets"] = within_budgets(point["metrics"], spec.budgets)
        point["on_front"] = index in front


def _budget(budget: Budget) -> dict[str, Any]:
    limit = {"at_most": budget.at_most} if budget.at_most is not None else {"at_least": budget.at_least}
    return {"metric": budget.metric, **limit}


def _sweeps(spec: StudySpec, points: Sequence[Point]) -> Iterator[dict[str, Any]]:
    """Of a grid, every numeric parameter: where more of it stops paying in accuracy."""
    if spec.search.sampler != "grid":
        return
    overlap = 1 / (spec.benchmark.folds - 1) if spec.benchmark.folds else 0.0
    for name, parameter in spec.space.parameters.items():
        levels = parameter.levels()
        if levels is None or not is_numeric(levels):
            continue
        # A level that failed, or is not done yet, does not keep the others from being judged.
        there = {float(point["parameters"][name]) for point in points if point["state"] == "complete"}
        rising = sorted(there)
        scores = sweep_scores(points, name, rising)
        found = saturation_of_sweep(rising, scores, overlap=overlap)
        yield _said(
            name,
            found,
            "levels",
            f"one-sided paired t-tests of {found.pairs} pairs of levels in {found.blocks} blocks ({_blocks(spec)})",
        )


def sweep_scores(
    points: Sequence[Point], parameter: str, levels: Sequence[float]
) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """Accuracies [block, level]: a block is one seed and fold with all other parameters equal, and has every level."""
    blocks: dict[str, dict[float, float]] = {}
    for point in points:
        if point["state"] != "complete":
            continue
        others = {name: value for name, value in point["parameters"].items() if name != parameter}
        for net in point["nets"]:
            key = json.dumps([others, net["repeat"], net["fold"]], sort_keys=True)
            blocks.setdefault(key, {})[float(point["parameters"][parameter])] = net["accuracy"]
    whole = [[block[level] for level in levels] for _, block in sorted(blocks.items()) if len(block) == len(levels)]
    return np.asarray(whole, dtype=np.float64).reshape(len(whole), len(levels))


def _blocks(spec: StudySpec) -> str:
    """What the blocks differ by."""
    seeds = f"{spec.benchmark.repeats} seeds"
    corrected = ", variance corrected for shared training samples, Nadeau and Bengio 2003"
    folds = f" x {spec.benchmark.folds} folds{corrected}" if spec.benchmark.folds else ", one split"
    return f"{seeds}{folds}"


def _fronts(spec: StudySpec, points: Sequence[Point], trials: Mapping[int, FrozenTrial]) -> Iterator[dict[str, Any]]:
    """Along the front, for every objective that is a cost: where paying more stops buying accuracy."""
    metrics = [objective.metric for objective in spec.objectives]
    if "accuracy" not in metrics:
        return
    for cost in (metric for metric in metrics if metric != "accuracy"):
        members = sorted(
            (point for point in points if point["on_front"]),
            key=lambda point: (point["metrics"][cost], -point["metrics"]["accuracy"]),
        )
        rising = [next(group) for _, group in itertools.groupby(members, key=lambda point: point["metrics"][cost])]
        found = saturation_of_front(
            [point["metrics"][cost] for point in rising], [_right(trials[point["number"]]) for point in rising]
        )
        yield _said(
            cost,
            found,
            "points on the front",
            f"one-sided exact McNemar tests of {found.pairs} pairs of points of the front on {found.blocks:,} samples",
        )


def _right(trial: FrozenTrial) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    """The first repeat's answers over all folds."""
    nets = [net for net in trial.user_attrs["nets"] if net["repeat"] == 0]
    return np.concatenate([unpacked(net["right"], net["n"]) for net in sorted(nets, key=lambda net: net["fold"])])


def _said(parameter: str, found: Saturation, levels: str, test: str) -> dict[str, Any]:
    if found.p_value is None:
        missing = f"{MIN_BLOCKS} blocks (seeds or folds), there are {found.blocks}" if found.pairs else f"two {levels}"
        test = f"not tested: needs {missing}"
    else:
        test += f", Holm's method at {ALPHA:.0%}"
        if found.gain_left is not None:
            test += f"; any more may still gain at most {max(found.gain_left, 0) * 100:.2f} points (one-sided 95 %)"
    return {
        "parameter": parameter,
        "metric": "accuracy",
        "saturates_at": found.saturates_at,
        "test": test,
        "p_value": found.p_value,
    }
