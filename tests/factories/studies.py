"""Studies of any size with plausible figures; the same number of points gives the same document."""

import hashlib
import math
from typing import Any

from access.actors import SYSTEM
from registry.models import ModelLine, Study
from registry.studies.services import put_study

SPEC = 'schema = "smallfleet-study/1"\nname = "widths"\n\n[parameters]\nwidth = { from = 0.25, to = 2.0 }\n'


def point_digest(number: int) -> str:
    """Of the file of a point."""
    return hashlib.sha256(f"point {number}".encode()).hexdigest()


def study_point(number: int, of: int = 3, **changes: Any) -> dict[str, Any]:
    """A point whose accuracy rises with its size and saturates; every seventh was pruned, every eleventh failed."""
    width = 0.25 + 1.75 * number / max(of - 1, 1)
    size = int(40_000 * width**2) + 37 * number % 1000
    accuracy = 0.99 - 0.2 * math.exp(-2 * width) - 0.015 * (number * 7919 % 13) / 13
    failed, pruned = number % 11 == 10, number % 7 == 6
    state = "failed" if failed else "pruned" if pruned else "complete"
    complete = state == "complete"
    metrics = {
        "accuracy": round(accuracy, 4),
        "accuracy_ci95": [round(accuracy - 0.012, 4), round(min(accuracy + 0.009, 1), 4)],
        "param_count": size // 4,
        "size_bytes": size,
        "packed_bytes": size * 3 // 5,
        "delta_bytes": size // 5 if number % 3 else None,
        "macs": size * 90,
        "peak_activation_bytes": 65_536,
        "latency_p50_ns": 120_000 + 3 * size,
        "energy_j": None,
        "training_s": 12.5,
    }
    return {
        "number": number,
        "state": state,
        "parameters": {"width": round(width, 3), "share": 0.5, "optimiser": "adam"},
        "metrics": metrics if complete else dict.fromkeys(metrics),
        "sha256": point_digest(number) if complete else None,
        "on_front": False,
        "within_budgets": complete and size <= 100_000,
        "failure": "" if complete else "the loss is not finite" if failed else "no hope after 3 epochs",
        **changes,
    }


def study_points(count: int) -> list[dict[str, Any]]:
    """So many points, with the front marked."""
    made = [study_point(number, count) for number in range(count)]
    best = -1.0
    within = (point for point in made if point["within_budgets"])
    for point in sorted(within, key=lambda point: (point["metrics"]["size_bytes"], -point["metrics"]["accuracy"])):
        if point["metrics"]["accuracy"] > best:
            best = point["metrics"]["accuracy"]
            point["on_front"] = True
    return made


def study_document(name: str = "widths", points: int | list[Any] | None = 3, **changes: Any) -> dict[str, Any]:
    """A whole document, with so many points or with these."""
    return {
        "schema": "smallfleet-study/1",
        "name": name,
        "spec": SPEC,
        "seed": 7,
        "dataset_sha256": "d" * 64,
        "versions": {"torch": "2.13.0", "optuna": "5.0.0", "smallfleet": None},
        "objectives": [{"metric": "accuracy", "goal": "max"}, {"metric": "size_bytes", "goal": "min"}],
        "budgets": [{"metric": "size_bytes", "at_most": 100_000}, {"metric": "accuracy", "at_least": 0.8}],
        "points": study_points(points) if isinstance(points, int) else points,
        "saturation": [
            {
                "parameter": "width",
                "metric": "accuracy",
                "saturates_at": 1.25,
                "test": "paired t-test",
                "p_value": 0.31,
            },
            {"parameter": "share", "metric": "accuracy", "saturates_at": None, "test": "not tested", "p_value": None},
        ],
        **changes,
    }


def make_study(line: ModelLine, name: str = "widths", points: int | list[Any] = 3, **changes: Any) -> Study:
    """A study on the server."""
    return put_study(actor=SYSTEM, model_line=line, name=name, document=study_document(name, points, **changes))[0]
