"""The benchmarks of a model line: every series, and what the graphs promised beside what was measured."""

from dataclasses import dataclass

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
class BenchmarksPage:
    """What the page shows; `configuration` is the one whose rows are shown, of `configurations`."""

    configuration: str
    configurations: list[str]
    rows: list[SeriesRow]
    disagreements: list[Disagreement]


def benchmarks_page(model_line: ModelLine, *, configuration: str = "") -> BenchmarksPage:
    """The series of one configuration, the canonical one unless another is asked for: those of two are never in one table."""
    every = series_figures(model_line)
    present = sorted({one.series.configuration for one in every}, key=lambda name: (name != CANONICAL, name))
    chosen = configuration if configuration in present else next(iter(present), CANONICAL)
    shown = [one for one in every if one.series.configuration == chosen]
    return BenchmarksPage(
        configuration=chosen,
        configurations=present,
        rows=[SeriesRow(one, promise_of(one.series.artifact)) for one in shown],
        disagreements=disagreements(shown),
    )
