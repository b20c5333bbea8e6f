"""What is shown of a ladder: a JSON document, rows of a table, a picture of the curve. Nothing here measures."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compression.ladder.choice import variant_names
from compression.ladder.making import Ladder, Made
from compression.ladder.rungs import Judged
from compression.provenance import machine, versions

SCHEMA = "smallfleet-ladder/1"
HEADERS = ("rung", "accuracy", "95 %", "change", "95 %", "McNemar p", "agrees", "chosen as")


def document(ladder: Ladder) -> dict[str, Any]:
    """All that was made and measured, as "smallfleet-ladder/1"."""
    task = ladder.task
    fitted, chosen_on = task.parts
    names = variant_names(ladder.chosen)
    return {
        "schema": SCHEMA,
        "seed": task.seed,
        "training_sha256": task.training.sha256(),
        "chosen_on_sha256": chosen_on.sha256(),
        "samples": {"fitted": len(fitted), "chosen_on": len(chosen_on), "held_out": len(task.held_out)},
        "dataset_sha256": ladder.new.predictions.dataset_sha256,
        "versions": versions(),
        "machine": machine(),
        "seconds": round(ladder.seconds, 1),
        "fallback": ladder.fallback or None,
        "held": [
            {"file": path.name, "sha256": _sha256(path), "lossless_delta_bytes": lossless}
            for path, lossless in zip(ladder.held, ladder.lossless_bytes, strict=True)
        ],
        "base": _quality(ladder.base),
        "new": {
            "file": task.new.name,
            "sha256": _sha256(task.new),
            "size_bytes": task.new.stat().st_size,
            "accuracy": _accuracy(ladder),
            "accuracy_ci95": list(ladder.new.predictions.ci95) if ladder.new.predictions.labels else None,
        },
        "rungs": [_rung(made, ladder, names) for made in ladder.made],
    }


def rows(ladder: Ladder) -> list[list[object]]:
    """One line a rung after those of base and new version, for `HEADERS` with a column of bytes for each held version after the name."""
    whole = ladder.task.new.stat().st_size
    none = [None] * len(ladder.held)
    found: list[list[object]] = [
        [f"base ({ladder.held[0].name})", *none, *_shown(ladder.base), None],
        [
            "new version",
            *(f"{size:,} = {size / whole:.1%}" for size in ladder.lossless_bytes),
            *_reference(ladder),
            None,
        ],
    ]
    for made in ladder.made:
        sizes = [f"{size:,} = {size / whole:.2%}" for size in made.rung.delta_bytes]
        found.append([made.rung.candidate.name, *sizes, *_shown(made.rung.held_out), made.chosen_as or None])
    return found


def headers(ladder: Ladder) -> list[str]:
    """Those of `rows`."""
    return [HEADERS[0], *(f"bytes from {path.name} (of fp32)" for path in ladder.held), *HEADERS[1:]]


def draw(ladder: Ladder, path: Path) -> None:
    """The curve as SVG: bytes from the base against agreement and accuracy; the same ladder gives the same file."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "smallfleet", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        axes = figure.subplots()
        points = _points(ladder)
        sizes = [size for size, _ in points]
        _line(
            axes,
            sizes,
            [made.rung.held_out.agreement for _, made in points],
            "agreement with the new version",
            "#1f77b4",
        )
        if ladder.new.predictions.labels is not None:
            accuracies = [made.rung.held_out.predictions.accuracy for _, made in points]
            _line(axes, sizes, accuracies, "accuracy", "#d95f02")
            axes.axhline(
                ladder.new.predictions.accuracy,
                color="#d95f02",
                linewidth=0.8,
                linestyle="--",
                label="accuracy of the new version",
            )
        for size, made in points:
            if made.chosen_as:
                axes.annotate(
                    made.chosen_as,
                    (size, made.rung.held_out.agreement),
                    (4, -11),
                    textcoords="offset points",
                    fontsize=8,
                )
        axes.set_xscale("log")
        axes.margins(0.13)
        axes.set_xlabel("bytes of the patch from what devices hold")
        axes.set_ylabel(f"share of {len(ladder.task.held_out):,} held-out samples")
        axes.grid(visible=True, linewidth=0.3)
        axes.legend(loc="lower right")
        figure.savefig(path, format="svg", metadata={"Date": None})


def evaluations(made: Made, ladder: Ladder, *, measured_by: str) -> list[dict[str, Any]]:
    """What is published with a rung: accuracy, where there are labels, and agreement with the new version."""
    judged = made.rung.held_out
    shared = {
        "sample_count": judged.predictions.n,
        "dataset_sha256": judged.predictions.dataset_sha256,
        "measured_by": measured_by,
    }
    low, high = judged.agreement_ci95
    found = [{"metric": "agreement", "value": judged.agreement, "ci_low": low, "ci_high": high, **shared}]
    if judged.paired is not None:
        low, high = judged.predictions.ci95
        accuracy = {
            "metric": "accuracy",
            "value": judged.predictions.accuracy,
            "ci_low": low,
            "ci_high": high,
            **shared,
        }
        found.insert(0, accuracy)
    return found


def _points(ladder: Ladder) -> list[tuple[int, Made]]:
    return sorted(((made.rung.base_bytes, made) for made in ladder.made), key=lambda point: point[0])


def _line(axes: Any, x: list[int], y: list[float], label: str, colour: str) -> None:
    axes.plot(x, y, marker="o", markersize=4, linewidth=1, label=label, color=colour)


def _rung(made: Made, ladder: Ladder, names: Mapping[str, str]) -> dict[str, Any]:
    rung = made.rung
    whole = ladder.task.new.stat().st_size
    return {
        "name": rung.candidate.name,
        "file": rung.candidate.path.name,
        "sha256": rung.sha256,
        "size_bytes": rung.size_bytes,
        "method": rung.candidate.method,
        "settings": dict(rung.candidate.settings),
        "delta_bytes": list(rung.delta_bytes),
        "share_of_fp32": rung.base_bytes / whole,
        **_quality(rung.held_out),
        "chosen_on": {
            "divergence": made.offer.divergence,
            "difference": made.offer.difference,
            "asked": made.offer.asked,
            "others": made.offer.others,
        },
        "chosen_as": made.chosen_as or None,
        "variant": names.get(rung.candidate.name),
    }


def _quality(judged: Judged) -> dict[str, Any]:
    paired = judged.paired
    return {
        "agreement": judged.agreement,
        "agreement_ci95": list(judged.agreement_ci95),
        "accuracy": judged.accuracy,
        "accuracy_ci95": list(judged.predictions.ci95) if paired else None,
        "difference": paired.difference if paired else None,
        "difference_ci95": list(paired.difference_ci95) if paired else None,
        "p_value": paired.p_value if paired else None,
    }


def _shown(judged: Judged) -> list[object]:
    paired = judged.paired
    if paired is None:
        return [None, None, None, None, None, f"{judged.agreement:.2%}"]
    return [
        f"{judged.predictions.accuracy:.2%}",
        _interval(judged.predictions.ci95),
        f"{paired.difference:+.2%}",
        _interval(paired.difference_ci95, sign="+"),
        f"{paired.p_value:.3f}",
        f"{judged.agreement:.2%}",
    ]


def _reference(ladder: Ladder) -> list[object]:
    found = ladder.new.predictions
    if found.labels is None:
        return [None] * 6
    return [f"{found.accuracy:.2%}", _interval(found.ci95), None, None, None, None]


def _interval(bounds: tuple[float, float], sign: str = "") -> str:
    return f"{bounds[0]:{sign}.2%} to {bounds[1]:{sign}.2%}"


def _accuracy(ladder: Ladder) -> float | None:
    return ladder.new.predictions.accuracy if ladder.new.predictions.labels else None


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
