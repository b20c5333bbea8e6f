"""The benchmarks of a model line: every series, and what the graphs promised beside what was measured."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from access.actors import Actor
from benchmarks.proxy import METRIC_WORDS, PROXY_WORDS
from fleet.dashboards.queries.measurements import CANONICAL
from fleet.measurements.comparison import Disagreement, Promise, disagreements, promise_of
from fleet.measurements.queries import SeriesFigures, series_figures
from registry.models import ModelLine


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """A series with what the model's graph promised."""

    figures: SeriesFigures
    promise: Promise


@dataclass(frozen=True, slots=True)
class PairRow:
    """Two variants of which a graph promises the other way round than devices of a class measured; multiples are of b to a."""

    a: str
    b: str
    device_class: str
    cheaper: str
    promised: list[str]
    measured: list[str]


@dataclass(frozen=True, slots=True)
class BenchmarksPage:
    """What the page shows; `configuration` is the one whose rows are shown, of `configurations`."""

    configuration: str
    configurations: list[str]
    rows: list[SeriesRow]
    disagreements: list[PairRow]


def benchmarks_page(model_line: ModelLine, *, actor: Actor, configuration: str = "") -> BenchmarksPage:
    """The series of one configuration, the canonical one unless another is asked for: those of two are never in one table."""
    every = series_figures(model_line, actor=actor)
    present = sorted({one.series.configuration for one in every}, key=lambda name: (name != CANONICAL, name))
    chosen = configuration if configuration in present else next(iter(present), CANONICAL)
    shown = [one for one in every if one.series.configuration == chosen]
    return BenchmarksPage(
        configuration=chosen,
        configurations=present,
        rows=[SeriesRow(one, promise_of(one.series.artifact)) for one in shown],
        disagreements=_pairs(disagreements(shown)),
    )


def _pairs(found: Iterable[Disagreement]) -> list[PairRow]:
    """One row for each pair of variants and series, with all that it disagrees in."""
    together: defaultdict[tuple[str, str, str, str, str], list[Disagreement]] = defaultdict(list)
    for one in found:
        cheaper = one.comparison.a if one.verdict.metric_prefers == "a" else one.comparison.b
        key = (one.comparison.a, one.comparison.b, one.device_class, one.conditions, cheaper)
        together[key].append(one)
    return [
        PairRow(a, b, device_class, cheaper, _promised(verdicts), _measured(verdicts))
        for (a, b, device_class, _, cheaper), verdicts in together.items()
    ]


def _promised(found: Iterable[Disagreement]) -> list[str]:
    verdicts = (one.verdict for one in found)
    return list(dict.fromkeys(f"{one.proxy_ratio.mid:.2f} x the {PROXY_WORDS[one.proxy]}" for one in verdicts))


def _measured(found: Iterable[Disagreement]) -> list[str]:
    lines = []
    for one in found:
        ratio, words = one.verdict.metric_ratio, METRIC_WORDS[one.verdict.metric]
        lines.append(f"{ratio.mid:.2f} x the {words} ({ratio.low:.2f} to {ratio.high:.2f})")
    return list(dict.fromkeys(lines))
