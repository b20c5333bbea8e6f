"""The SqueezeNet paper's saturation experiments and a search under a budget, at small scale: `python -m benchmarks.peers.saturation`.

Goes through the ready studies, or goes on where an earlier run stands, and writes the generated part of docs/studies.md and its pictures.
Points are kept in the cache: a second run computes nothing. Needs the extra `compression`.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.folders import default_cache
from compression.errors import StudyUnusable
from compression.pages import Section
from compression.progress import terminal_progress
from compression.provenance import machine
from compression.study.document import document_of, knee_number
from compression.study.pictures import pareto_picture, saturation_picture
from compression.study.run import run_study
from compression.study.spec import StudySpec, load_spec, values_as_text
from compression.study.storage import find_study, local_place, open_storage

SHARE, RATIO, SEARCH = "squeezenet-3x3-share", "squeezenet-squeeze-ratio", "smallest-digits"
SECTION = Section("<!-- generated: python -m benchmarks.peers.saturation -->", "<!-- end of what is generated -->")
PICTURES = {
    (SHARE, "saturation", "pct_3x3"): "saturation.svg",
    (SHARE, "pareto", "size_bytes"): "pareto.svg",
    (RATIO, "saturation", "squeeze_ratio"): "saturation-squeeze-ratio.svg",
    (SEARCH, "pareto", "size_bytes"): "pareto-search.svg",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, draw and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.saturation", description=__doc__)
    parser.add_argument("--cache", type=Path, default=default_cache(), help="where points are kept (%(default)s)")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes (%(default)s)")
    parser.add_argument("--docs", type=Path, default=Path("docs"), metavar="DIR", help="where to write (%(default)s)")
    parser.add_argument("--kept", action="store_true", help="run nothing, show what there is")
    args = parser.parse_args(arguments)
    documents = {}
    for name in (SHARE, RATIO, SEARCH):
        out = args.cache / "studies" / name
        place = local_place(out)
        if not args.kept:
            ran = run_study(name, place, out, workers=args.workers, progress=terminal_progress)
            print(f"{name}: {ran.done} points in {ran.seconds:.0f} s", file=sys.stderr)
        spec = load_spec(name)
        try:
            documents[name] = document_of(spec, find_study(spec.name, open_storage(place)))
        except StudyUnusable as error:
            print(f"left out: {error}", file=sys.stderr)
    for (name, kind, what), file in PICTURES.items():
        if name not in documents:
            continue
        target = args.docs / "pictures" / file
        if kind == "saturation":
            saturation_picture(documents[name], target, parameter=what)
        else:
            pareto_picture(documents[name], target, cost=what)
    page = args.docs / "studies.md"
    page.write_text(SECTION.put(page.read_text(encoding="utf-8"), "\n".join(section(documents))), encoding="utf-8")
    return 0


def section(documents: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The generated part: a table for each study, its verdicts and its picture."""
    yield f"Measured on {machine()}, one thread a worker. Accuracy is the ruler's, on the exported files."
    for name, title in ((SHARE, "Share of 3x3 filters"), (RATIO, "Squeeze ratio")):
        spec = load_spec(name)
        ((parameter, _),) = spec.space.parameters.items()
        if name in documents:
            yield from ("", f"### {title}", "", f"`smallfleet study run {name}`", "")
            yield from _sweep(documents[name], spec, parameter)
            yield from _shown(name)
    if SEARCH in documents:
        yield from ("", "### A net under 40,000 bytes", "", f"`smallfleet study run {SEARCH}`", "")
        yield from _search(documents[SEARCH], load_spec(SEARCH))
        yield from _shown(SEARCH)


def _shown(name: str) -> Iterator[str]:
    titles = {"saturation": "accuracy by level", "pareto": "the front"}
    for (study, kind, _), file in PICTURES.items():
        if study == name:
            yield from ("", f"![{name}: {titles[kind]}](pictures/{file})")


def _sweep(document: Mapping[str, Any], spec: StudySpec, parameter: str) -> Iterator[str]:
    yield f"| {parameter} | accuracy, mean of {spec.benchmark.repeats} nets | lowest to highest | parameters | file, bytes | MACs | training, s |"
    yield "|---|---|---|---|---|---|---|"
    for point in document["points"]:
        if point["state"] != "complete":
            yield f"| {point['parameters'][parameter]} | {point['state']}: {point['failure']} |"
            continue
        metrics, own = point["metrics"], [net["accuracy"] for net in point["nets"]]
        yield (
            f"| {point['parameters'][parameter]} | {metrics['accuracy']:.4f} | {min(own):.4f} to {max(own):.4f} "
            f"| {metrics['param_count']:,} | {metrics['size_bytes']:,} | {metrics['macs']:,} | {metrics['training_s']:.1f} |"
        )
    yield ""
    yield from _verdicts(document)
    if len(document["points"]) < spec.point_count():
        yield f"\nOnly {len(document['points'])} of {spec.point_count()} levels are measured so far; a further run goes on."


def _search(document: Mapping[str, Any], spec: StudySpec) -> Iterator[str]:
    states = [point["state"] for point in document["points"]]
    given_up = [point["failure"] for point in document["points"] if point["state"] == "pruned"]
    over = sum("budget" in reason for reason in given_up)
    if len(states) < spec.point_count():
        yield f"Only {len(states)} of {spec.point_count()} points are measured so far; a further run goes on."
    yield (
        f"{states.count('complete')} points trained to the end, {over} over a budget before any training, "
        f"{len(given_up) - over} given up on the way, {states.count('failed')} failed. Within the budgets and on the front:"
    )
    yield from ("", "| point | accuracy (95 %) | file, bytes | packed, bytes | MACs | median latency | parameters |")
    yield "|---|---|---|---|---|---|---|"
    knee = knee_number(spec, document)
    front = sorted((p for p in document["points"] if p["on_front"]), key=lambda p: float(p["metrics"]["size_bytes"]))
    for point in front:
        metrics = point["metrics"]
        low, high = metrics["accuracy_ci95"]
        latency = metrics["latency_p50_ns"]
        yield (
            f"| {point['number']}{' (knee)' if point['number'] == knee else ''} | {metrics['accuracy']:.4f} ({low:.4f} to {high:.4f}) "
            f"| {metrics['size_bytes']:,} | {metrics['packed_bytes']:,} | {metrics['macs']:,} "
            f"| {'not known' if latency is None else f'{latency / 1e3:.1f} us'} | {values_as_text(point['parameters'])} |"
        )
    yield ""
    yield from _verdicts(document)
    absent = sorted({p["reasons"]["latency_p50_ns"] for p in front if "latency_p50_ns" in p["reasons"]})
    yield from (f"Latency is not known where {reason}." for reason in absent)


def _verdicts(document: Mapping[str, Any]) -> Iterator[str]:
    for row in document["saturation"]:
        where = (
            "still pays at its highest level"
            if row["saturates_at"] is None
            else f"no more pays beyond {row['saturates_at']:,.12g}"
        )
        p_value = "" if row["p_value"] is None else f", p = {row['p_value']:.3g}"
        yield f"- `{row['parameter']}`: {where}{p_value} ({row['test']})."


if __name__ == "__main__":
    raise SystemExit(main())
