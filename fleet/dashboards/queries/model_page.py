"""One model line: its variants with what they are worth, what they cost today's fleet, and how fast they were measured."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from django.db.models import Count

from access.actors import Actor
from fleet.dashboards import formats
from fleet.dashboards.charts.accuracy_cost import VariantPoint, pareto_front
from fleet.dashboards.queries.budget import BudgetTable, budget_table
from fleet.dashboards.queries.field import Holding, LineInField, lines_in_field
from fleet.dashboards.queries.measurements import ReferenceLatency, reference_latency
from fleet.dashboards.queries.patch_page import STATUS_WORDS
from fleet.dashboards.queries.recipes import Recipe, recipes_of
from fleet.devices.visibility import installation_condition
from fleet.ledger.forecast import PREVIOUS, THERE
from fleet.ledger.queries import VariantCost, costs_of_variants
from fleet.measurements.budgets import budget_check
from fleet.measurements.figures import Spread
from fleet.measurements.queries import series_figures
from fleet.rollouts.matrix import STATUS_OF
from registry.models import Evaluation, ModelLine, Patch, Variant, Version
from registry.queries import versions_of


@dataclass(frozen=True, slots=True, order=True)
class Quality:
    """What is on the chart's upright axis: values of one metric on one data set, the only ones that may be compared."""

    metric: str
    dataset_sha256: str

    @property
    def key(self) -> str:
        """As it stands in an address."""
        return f"{self.metric}:{self.dataset_sha256[:12]}"


@dataclass(frozen=True, slots=True)
class VariantRow:
    """One variant on the page.

    Attributes:
        evaluation: of the chosen quality; None where nobody measured it.
        cost: to bring today's fleet there; None of a version that cannot be rolled out.
        latency: over the devices that measured it under the page's conditions.
        is_current: most of the fleet runs it.
        on_front: no other variant is both cheaper and better.
    """

    variant: Variant
    version: Version
    evaluation: Evaluation | None
    cost: VariantCost | None
    latency: Spread | None
    devices_there: int
    is_current: bool
    on_front: bool = False

    @property
    def label(self) -> str:
        """Version and variant."""
        return f"{self.version.version} {self.variant.name}"

    @property
    def way_words(self) -> str:
        """How the devices would get it."""
        if self.cost is None:
            return ""
        return ", ".join(self._words(way, devices) for way, devices in sorted(self.cost.devices_by_way.items()))

    def _words(self, way: str, devices: int) -> str:
        number = formats.count_text(devices)
        if way == THERE:
            return f"{number} there already"
        if way == PREVIOUS:
            return f"{number} step back for 0 B"
        wire_bytes = self.cost.bytes_by_way.get(way, 0) if self.cost else 0
        return f"{number} by {way} ({formats.bytes_text(wire_bytes)})"


@dataclass(frozen=True, slots=True)
class ModelPage:
    """What the page of a model line shows; `patches` counts them by state, `measured_where` says under which conditions latencies were measured."""

    field: LineInField
    versions: list[Version]
    qualities: list[Quality]
    quality: Quality | None
    rows: list[VariantRow]
    patches: dict[str, int]
    measured_where: str
    budget: BudgetTable
    recipes: list[Recipe]
    study_count: int

    @property
    def unplaced(self) -> list[VariantRow]:
        """Variants that could be rolled out but have no value of the chosen quality: they cannot stand on the chart."""
        return [row for row in self.rows if row.cost is not None and row.evaluation is None]


def model_page(model_line: ModelLine, *, actor: Actor, quality_key: str = "") -> ModelPage:
    """Everything on the page, by the devices that the actor may see; `quality_key` chooses the metric and data set, else the most measured one."""
    versions = versions_of(model_line)
    variants = [(version, variant) for version in versions for variant in version.variants.all()]
    qualities = _qualities(variants)
    quality = next((one for one in qualities if one.key == quality_key), qualities[0] if qualities else None)
    (field,) = lines_in_field([model_line], actor=actor)
    series = series_figures(model_line, actor=actor)
    latency = reference_latency(series)
    costs = costs_of_variants(model_line=model_line, among=installation_condition(actor))
    standing = [variant for version, variant in variants if version.state != Version.State.YANKED]
    return ModelPage(
        field=field,
        versions=versions,
        qualities=qualities,
        quality=quality,
        rows=_rows({cost.variant.pk: cost for cost in costs}, variants, quality, field.most, latency),
        patches=patch_counts(variants),
        measured_where=latency.where,
        budget=budget_table(budget_check(model_line, standing, actor=actor, figures=series), versions),
        recipes=recipes_of(versions),
        study_count=model_line.studies.count(),
    )


def points_of(page: ModelPage) -> list[VariantPoint]:
    """The rows that can stand on the chart: a value on the upright axis and a cost on the other."""
    return [
        VariantPoint(
            label=row.label,
            version=row.version.version,
            value=row.evaluation.value,
            low=row.evaluation.ci_low,
            high=row.evaluation.ci_high,
            cost_bytes=row.cost.bytes_total,
            cost_money=row.cost.money_total,
            ways=row.way_words,
            p50_latency_ns=int(row.latency.median) if row.latency else None,
            is_current=row.is_current,
            is_upper_bound=row.cost.is_upper_bound,
        )
        for row in page.rows
        if row.evaluation is not None and row.cost is not None
    ]


def _qualities(variants: Collection[tuple[Version, Variant]]) -> list[Quality]:
    """What was measured: accuracy first, then what was measured on most of the variants that can be rolled out."""
    counts: Counter[Quality] = Counter()
    for version, variant in variants:
        for quality in {Quality(each.metric, each.dataset_sha256) for each in variant.evaluations.all()}:
            counts[quality] += version.state == Version.State.PUBLISHED
    return sorted(counts, key=lambda quality: (quality.metric != "accuracy", -counts[quality], quality))


def _rows(
    costs: Mapping[int, VariantCost],
    variants: Sequence[tuple[Version, Variant]],
    quality: Quality | None,
    most: Holding | None,
    latency: ReferenceLatency,
) -> list[VariantRow]:
    rows = [
        VariantRow(
            variant=variant,
            version=version,
            evaluation=_evaluation(variant, quality),
            cost=costs.get(variant.pk),
            latency=latency.by_artifact.get(variant.artifact_id),
            devices_there=costs[variant.pk].devices_there if variant.pk in costs else 0,
            is_current=most is not None and most.name is not None and most.name.variant_id == variant.pk,
        )
        for version, variant in variants
    ]
    return _with_front(rows, quality)


def _with_front(rows: list[VariantRow], quality: Quality | None) -> list[VariantRow]:
    placed = [row for row in rows if row.cost is not None and row.evaluation is not None]
    # Where there is no fleet nothing costs anything, and the front would be the one best variant.
    if quality is None or not any(row.cost.devices for row in placed if row.cost is not None):
        return rows
    costs = [float(row.cost.bytes_total) for row in placed if row.cost is not None]
    values = [row.evaluation.value for row in placed if row.evaluation is not None]
    front = pareto_front(costs, values, higher_is_better=formats.higher_is_better(quality.metric))
    on_front = {placed[place].variant.pk for place in front}
    return [replace(row, on_front=row.variant.pk in on_front) for row in rows]


def _evaluation(variant: Variant, quality: Quality | None) -> Evaluation | None:
    """The variant's value of this quality: of several who measured it, the one with the most samples, then the newest."""
    if quality is None:
        return None
    measured = [
        each
        for each in variant.evaluations.all()
        if (each.metric, each.dataset_sha256) == (quality.metric, quality.dataset_sha256)
    ]
    return max(measured, key=lambda each: (each.sample_count, each.pk), default=None)


def patch_counts(variants: Iterable[tuple[Version, Variant]]) -> dict[str, int]:
    """How many patches to these variants stand in each state, in the words of the page that shows them. One query."""
    targets = {variant.artifact_id for _, variant in variants}
    patches = Patch.objects.filter(target__in=targets).exclude(state=Patch.State.RETIRED)
    rows = patches.order_by().values_list("state").annotate(count=Count("pk"))
    counts: Counter[str] = Counter()
    for state, count in rows:
        counts[STATUS_WORDS[STATUS_OF[Patch.State(state)]]] += count
    return {words: counts[words] for words in STATUS_WORDS.values() if counts[words]}
