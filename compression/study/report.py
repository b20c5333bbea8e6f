"""A study's report in a folder: the document, the pictures, and the text that is printed."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from client.output import format_table
from compression.study.document import document_text, knee_number
from compression.study.pictures import pareto_picture, saturation_picture
from compression.study.spec import StudySpec, values_as_text

DOCUMENT = "study.json"


def write_report(spec: StudySpec, document: Mapping[str, Any], out: Path) -> list[Path]:
    """Write `study.json`, `pareto-<cost>.svg` and `saturation-<parameter>.svg`; the files."""
    out.mkdir(parents=True, exist_ok=True)
    written = [out / DOCUMENT]
    written[0].write_text(document_text(document), encoding="utf-8")
    metrics = [objective.metric for objective in spec.objectives]
    complete = [point for point in document["points"] if point["state"] == "complete"]
    for cost in (metric for metric in metrics if metric != "accuracy" and complete):
        written.append(out / f"pareto-{cost}.svg")
        pareto_picture(document, written[-1], cost=cost)
    for row in document["saturation"]:
        if row["parameter"] in spec.space.parameters and complete:
            written.append(out / f"saturation-{row['parameter']}.svg")
            saturation_picture(document, written[-1], parameter=row["parameter"])
    return written


def report_text(spec: StudySpec, document: Mapping[str, Any]) -> str:
    """The front, the saturation points, and what did not come to its end."""
    return "\n".join(_lines(spec, document))


def _lines(spec: StudySpec, document: Mapping[str, Any]) -> Iterator[str]:
    points = document["points"]
    states = [point["state"] for point in points]
    counts = ", ".join(f"{states.count(state)} {state}" for state in ("complete", "pruned", "failed"))
    yield f"study {spec.name}: {counts} of {spec.point_count()} points"
    for budget in spec.budgets:
        yield f"budget: {budget}"
    front = [point for point in points if point["on_front"]]
    yield ""
    yield f"front ({len(front)} points)" if front else "front: no point is within the budgets"
    if front:
        yield format_table(*_table(spec, document, front))
    yield ""
    yield "saturation"
    for row in document["saturation"]:
        yield f"  {_saturation(row)}"
    if not document["saturation"]:
        yield "  nothing to test"
    for point in points:
        if point["state"] == "failed":
            yield f"failed: point {point['number']} ({values_as_text(point['parameters'])}): {point['failure']}"


def _table(
    spec: StudySpec, document: Mapping[str, Any], front: list[Mapping[str, Any]]
) -> tuple[list[str], list[list[object]]]:
    costs = ("size_bytes", "packed_bytes", "delta_bytes", "macs", "latency_p50_ns")
    shown = [cost for cost in costs if any(point["metrics"][cost] is not None for point in front)]
    first = spec.objectives[-1].metric
    knee = knee_number(spec, document)
    rows: list[list[object]] = []
    for point in sorted(front, key=lambda point: point["metrics"][first]):
        low, high = point["metrics"]["accuracy_ci95"]
        figures = [point["metrics"][cost] for cost in shown]
        mark = "knee" if point["number"] == knee else ""
        accuracy = f"{point['metrics']['accuracy']:.4f} ({low:.4f} to {high:.4f})"
        rows.append([point["number"], accuracy, *figures, mark, values_as_text(point["parameters"])])
    return ["point", "accuracy (95 %)", *shown, "note", "parameters"], rows


def _saturation(row: Mapping[str, Any]) -> str:
    if row["p_value"] is None:
        return f"{row['parameter']}: {row['test']}"
    if row["saturates_at"] is None:
        return f"{row['parameter']}: still pays at its highest level (p = {row['p_value']:.3g}; {row['test']})"
    return (
        f"{row['parameter']}: no more pays beyond {row['saturates_at']:,.12g} (p = {row['p_value']:.3g}; {row['test']})"
    )
