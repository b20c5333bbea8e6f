"""Several models measured by turns on this machine, and what their graphs promised beside it: `smallfleet bench A --compare B ...`.

Runs of the models are interleaved, each in a fresh process, and the order rotates: what else the machine does meets all alike.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.proxy import Candidate, Comparison, Estimate, compare, measured_of, proxies_of, sentence
from benchmarks.report import Absent, Maybe
from benchmarks.table import duration, millijoules

# Rounds without --processes: from six on the interval of a median needs no assumption about its spread.
ROUNDS = 6

_STATES = ("disagree", "unforeseen", "unconfirmed", "agree", "same")


def measure_by_turns(
    models: Sequence[Path], measure: Callable[[Path], dict[str, Any]], *, rounds: int
) -> dict[str, list[dict[str, Any]]]:
    """Reports by model name: one per round, each of one process.

    Args:
        models: files; two of the same name are told apart by their folders.
        measure: makes one report.
        rounds: how often each model is measured.
    """
    names = dict(zip(models, _names(models), strict=True))
    reports: dict[str, list[dict[str, Any]]] = {name: [] for name in names.values()}
    for index in range(rounds):
        first = index % len(models)
        for model in (*models[first:], *models[:first]):
            reports[names[model]].append(measure(model))
    return reports


def _names(models: Sequence[Path]) -> list[str]:
    names = [model.name for model in models]
    return names if len(set(names)) == len(names) else [str(model) for model in models]


def candidates_of(reports: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Candidate]:
    """Each model with what its graph promises and what was measured."""
    return [
        Candidate(
            name,
            proxies_of(own[0]["artifact"]["static"], size_bytes=own[0]["artifact"]["bytes"]),
            measured_of(own),
        )
        for name, own in reports.items()
    ]


def comparisons_of(candidates: Sequence[Candidate]) -> list[Comparison]:
    """Every two of them, in the order they were given."""
    return [compare(a, b) for a, b in itertools.combinations(candidates, 2)]


def as_json(reports: Mapping[str, Sequence[Mapping[str, Any]]], comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Everything for a program: the reports as they are, and the verdicts."""
    return {
        "reports": reports,
        "comparisons": [
            {
                "a": one.a,
                "b": one.b,
                "verdicts": [
                    {
                        "id": verdict.id,
                        "state": verdict.state,
                        "proxy_prefers": verdict.proxy_prefers,
                        "metric_prefers": verdict.metric_prefers,
                        "proxy_ratio": asdict(verdict.proxy_ratio),
                        "metric_ratio": asdict(verdict.metric_ratio),
                    }
                    for verdict in one.verdicts
                ],
                "missing": dict(one.missing),
            }
            for one in comparisons
        ],
    }


def lines(
    reports: Mapping[str, Sequence[Mapping[str, Any]]],
    candidates: Sequence[Candidate],
    comparisons: Sequence[Comparison],
) -> Iterator[str]:
    """The same for a person: a row per model, then the verdicts, disagreements first."""
    head = ("model", "file", "MACs", "analytic at 45 nm", "p50", "CPU time", "energy", "valid")
    yield from _columns([head, *(_row(candidate, reports[candidate.id]) for candidate in candidates)])
    for comparison in comparisons:
        yield ""
        yield f"{comparison.b} against {comparison.a}"
        for state in _STATES:
            yield from (
                f"  {state:11}  {sentence(verdict, comparison)}"
                for verdict in comparison.verdicts
                if verdict.state == state
            )
        for reason in dict.fromkeys(comparison.missing.values()):
            without = [place for place, why in comparison.missing.items() if why == reason]
            everything = not comparison.verdicts and len(without) == len(comparison.missing)
            yield f"  {'unknown':11}  {'everything' if everything else ', '.join(without)}: {reason}"


def _row(candidate: Candidate, reports: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    proxies, metrics = candidate.proxies, candidate.measured.metrics
    return (
        candidate.id,
        _said(proxies["size_bytes"], lambda figure: f"{figure.mid / 1e6:.3f} MB"),
        _said(proxies["macs"], lambda figure: f"{figure.mid / 1e6:.1f} M"),
        _said(proxies["analytic_j"], lambda figure: millijoules(figure.low, figure.high)),
        _said(
            metrics["p50_latency_ns"],
            lambda figure: f"{duration(figure.mid)} ({duration(figure.low)} to {duration(figure.high)})",
        ),
        _said(metrics["cpu_ns"], lambda figure: duration(figure.mid)),
        _said(metrics["energy_j"], lambda figure: f"{figure.mid * 1e3:.3g} mJ by {candidate.measured.energy_source}"),
        f"{len(reports) - candidate.measured.ignored} of {len(reports)}",
    )


def _said(figure: Maybe[Estimate], words: Callable[[Estimate], str]) -> str:
    return "unknown" if isinstance(figure, Absent) else words(figure)


def _columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
