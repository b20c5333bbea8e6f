"""The benchmarks of a model line: every series, and what the graphs promised beside what was measured."""

from dataclasses import dataclass

from benchmarks.proxy import proxies_of
from fleet.dashboards.queries.measurements import CANONICAL, NamedSeries, named_series
from fleet.measurements.comparison import Disagreement, Promise, disagreements, promise_of
from registry.models import Artifact, ModelLine


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """A series with what the model's graph promised."""

    named: NamedSeries
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
    every = named_series(model_line)
    present = sorted({one.figures.series.configuration for one in every}, key=lambda name: (name != CANONICAL, name))
    chosen = configuration if configuration in present else next(iter(present), CANONICAL)
    shown = [one for one in every if one.figures.series.configuration == chosen]
    artifacts = {one.figures.series.artifact_id: (one.label, one.figures.series.artifact) for one in shown}
    return BenchmarksPage(
        configuration=chosen,
        configurations=present,
        rows=[SeriesRow(one, _promise(*artifacts[one.figures.series.artifact_id])) for one in shown],
        disagreements=disagreements(
            [one.figures for one in shown],
            {
                pk: (label, proxies_of(artifact.static_cost, size_bytes=artifact.size_bytes))
                for pk, (label, artifact) in artifacts.items()
            },
        ),
    )


def _promise(label: str, artifact: Artifact) -> Promise:
    return promise_of(label, artifact.static_cost, size_bytes=artifact.size_bytes)
