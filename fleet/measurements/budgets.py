"""Whether the variants of a model line keep its limits: by their files and evaluations, and by what devices of each class measured.

Only runs that count decide anything: an invalid one never does. What nobody measured is unknown, and says so.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from django.db.models import Count

from access.actors import Actor
from fleet.devices.queries import installations_in
from fleet.devices.visibility import installation_condition
from fleet.measurements.figures import Accuracy, Energy
from fleet.measurements.queries import SeriesFigures, series_figures
from registry.budgets import (
    MEASURED,
    Check,
    Limit,
    Quantity,
    Verdict,
    check_static,
    judged,
    parse_limits,
    worst,
)
from registry.models import Budget, ModelLine, Variant
from registry.queries import budget_of
from registry.services import static_facts

NS_PER_S = 1e9
# What a report's accuracy is: the share of labelled samples whose highest score is at the label.
ON_DEVICE_METRICS = frozenset({"accuracy", "top1", "top1-accuracy"})


@dataclass(frozen=True, slots=True)
class VariantCheck:
    """What is known of one variant against the limits of its line."""

    variant: Variant
    checks: Sequence[Check]

    @property
    def verdict(self) -> Verdict:
        """The worst of all."""
        return worst(self.checks)

    def of(self, limit: Limit) -> list[Check]:
        """The checks of one limit: by the file, then by class."""
        return [check for check in self.checks if check.limit == limit]


@dataclass(frozen=True, slots=True)
class BudgetCheck:
    """A line's limits and its variants against them."""

    budget: Budget
    limits: Sequence[Limit]
    variants: Sequence[VariantCheck]


def budget_check(
    model_line: ModelLine,
    variants: Iterable[Variant],
    *,
    actor: Actor,
    figures: Sequence[SeriesFigures] | None = None,
) -> BudgetCheck:
    """Check variants of the line, with their artifacts and evaluations at hand, by what the devices measured that the actor may see.

    `figures` are those of `series_figures`, where they were read already.
    """
    budget = budget_of(model_line)
    limits = parse_limits(budget.limits)
    if not limits:
        return BudgetCheck(budget, (), ())
    in_configuration = [
        one
        for one in (series_figures(model_line, actor=actor) if figures is None else figures)
        if one.series.configuration == budget.configuration
    ]
    by_artifact: defaultdict[int, list[SeriesFigures]] = defaultdict(list)
    for one in in_configuration:
        by_artifact[one.series.artifact_id].append(one)
    classes = _classes(model_line, actor)
    return BudgetCheck(
        budget,
        limits,
        [
            VariantCheck(
                variant,
                [
                    *check_static(limits, static_facts(variant)),
                    *check_measured(limits, by_artifact[variant.artifact_id], classes),
                ],
            )
            for variant in variants
        ],
    )


def _classes(model_line: ModelLine, actor: Actor) -> dict[str, int]:
    """How many devices of each class name the line, of those that the actor may see."""
    seen = installations_in(model_line=model_line, among=installation_condition(actor))
    rows = seen.order_by().values_list("device__device_class")
    return dict(rows.annotate(Count("pk")))


def check_measured(
    limits: Iterable[Limit], figures: Sequence[SeriesFigures], classes: Mapping[str, int]
) -> list[Check]:
    """The limits that devices decide, for each series of a variant, and for each class of the fleet that has none. Pure.

    Args:
        limits: of the model line.
        figures: of the variant's series, all in the configuration that the limits are meant for.
        classes: how many devices of each class the fleet has.
    """
    measured = [limit for limit in limits if limit.quantity in MEASURED and _can_be_measured(limit)]
    counting = [one for one in figures if one.standing]
    checks = [_check(limit, one) for limit in measured for one in counting if _says(one, limit)]
    return checks + _unmeasured(measured, figures, counting, classes)


def _can_be_measured(limit: Limit) -> bool:
    """Quality only where no data set is named: devices have the samples of their model, which are another."""
    return limit.quantity is not Quantity.QUALITY or (limit.metric in ON_DEVICE_METRICS and not limit.dataset_sha256)


def _says(figures: SeriesFigures, limit: Limit) -> bool:
    """Whether the devices of a series have something to say: of quality, which evaluations decide, only with labelled samples."""
    return limit.quantity is not Quantity.QUALITY or figures.accuracy is not None


def _unmeasured(
    limits: Sequence[Limit],
    figures: Iterable[SeriesFigures],
    counting: Iterable[SeriesFigures],
    classes: Mapping[str, int],
) -> list[Check]:
    """Unknown where no run counts: in classes of the fleet, and in those that have sent invalid runs alone."""
    invalid: Counter[str] = Counter()
    for one in figures:
        if one.series.invalid_runs:
            invalid[one.series.device_class] += one.series.invalid_runs
    counted = {one.series.device_class for one in counting}
    missing = sorted({*classes, *invalid} - counted)
    if not missing and not counted:
        missing = [""]  # there is no fleet
    return [
        Check(
            limit,
            Verdict.UNKNOWN,
            by_devices=True,
            device_class=name,
            detail=_why(invalid[name], classes.get(name, 0)),
        )
        for limit in limits
        # Quality is known without devices; only what they say against it is news.
        if limit.quantity is not Quantity.QUALITY
        for name in missing
    ]


def _why(invalid_runs: int, devices: int) -> str:
    if invalid_runs:
        return f"{invalid_runs} invalid run{'' if invalid_runs == 1 else 's'} and none that counts"
    return f"not measured by any of {devices} device{'' if devices == 1 else 's'}"


def _check(limit: Limit, figures: SeriesFigures) -> Check:
    series = figures.series
    found = _figure(limit, figures)
    return replace(found, by_devices=True, device_class=series.device_class, conditions=series.conditions)


def _figure(limit: Limit, figures: SeriesFigures) -> Check:
    match limit.quantity:
        case Quantity.FPS:
            return _fps(limit, figures)
        case Quantity.PEAK_MEMORY_BYTES:
            return _memory(limit, figures)
        case Quantity.ENERGY_J:
            return _energy(limit, figures.energy, figures)
        case _ if figures.accuracy is not None:
            return _quality(limit, figures.accuracy)
        case _:
            raise AssertionError(f"devices do not measure {limit.quantity}")


def _fps(limit: Limit, figures: SeriesFigures) -> Check:
    if figures.latency is None or not figures.latency.median:
        return Check(limit, Verdict.UNKNOWN, detail="no run has a median latency")
    each = [NS_PER_S / one.p50_latency_ns for one in figures.standing if one.p50_latency_ns]
    return judged(limit, NS_PER_S / figures.latency.median, **_behind(limit, each), detail="median device")


def _memory(limit: Limit, figures: SeriesFigures) -> Check:
    if figures.peak_memory is None:
        return Check(limit, Verdict.UNKNOWN, detail="no run measured memory")
    each = [one.peak_memory_bytes for one in figures.standing if one.peak_memory_bytes is not None]
    return judged(limit, figures.peak_memory.highest, **_behind(limit, each), detail="worst device")


def _energy(limit: Limit, energy: Energy | None, figures: SeriesFigures) -> Check:
    if energy is None:
        return Check(limit, Verdict.UNKNOWN, devices=figures.devices, detail="no device of it has a meter")
    each = [one.energy_j for one in figures.standing if one.energy_j is not None and one.energy_source == energy.source]
    return judged(limit, energy.joules.median, **_behind(limit, each), detail=f"median device, {energy.source}")


def _quality(limit: Limit, accuracy: Accuracy) -> Check:
    """A small sample set fails nothing that its interval still allows."""
    found = judged(limit, accuracy.value, devices=accuracy.devices, detail="on the device's samples")
    best_allowed = accuracy.ci_high if limit.at_least else accuracy.ci_low
    if found.verdict is Verdict.FAIL and best_allowed is not None and limit.verdict(best_allowed) is Verdict.PASS:
        interval = f"{accuracy.ci_low:.4g} to {accuracy.ci_high:.4g}"
        return replace(
            found, verdict=Verdict.UNKNOWN, detail=f"too few samples: the interval {interval} holds the limit"
        )
    return found


def _behind(limit: Limit, each: Collection[float]) -> dict[str, int]:
    """How many devices stand behind a figure, and how many of them break the limit by themselves."""
    beyond = sum(limit.verdict(value) is Verdict.FAIL for value in each)
    return {"devices": len(each), "devices_beyond": beyond}
