"""A study on its page: the points that are asked for, in order, and its findings in words. Pure but for the look for published points."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fleet.dashboards import formats
from fleet.dashboards.charts.metrics import text_of, title_of
from fleet.dashboards.charts.study_front import StudyPoint
from registry.models import Study, Variant

# What the chart can be drawn against, and what the table has; in their order.
COSTS = ("size_bytes", "packed_bytes", "delta_bytes", "macs", "latency_p50_ns", "energy_j")
COLUMNS = ("accuracy", *COSTS, "peak_activation_bytes", "training_s")
SHOWN = {"all": "all", "within": "within the budgets", "front": "on the front"}
_NUMBER = "number"


@dataclass(frozen=True, slots=True)
class Column:
    """A column by which the table can be ordered: `order` is what its head asks for, `direction` how it is now ordered by it, if it is."""

    metric: str
    title: str
    order: str
    direction: str


@dataclass(frozen=True, slots=True)
class PointRow:
    """One point of the table; `cells` are its values in the order of the columns, `variants` what was published of its file."""

    number: int
    state: str
    cells: list[str]
    interval: str
    parameters: list[tuple[str, str]]
    failure: str
    on_front: bool
    within_budgets: bool
    variants: Sequence[Variant]


@dataclass(frozen=True, slots=True)
class Order:
    """By what the table is ordered; what is not measured comes last either way."""

    metric: str
    falling: bool

    @classmethod
    def read(cls, text: str) -> "Order":
        """`-accuracy` is the highest first; anything unknown the numbers."""
        metric = text.removeprefix("-")
        return cls(metric, text.startswith("-")) if metric in COLUMNS else cls(_NUMBER, text == f"-{_NUMBER}")

    def apply(self, points: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The points in this order, those of equal value by their numbers."""
        ordered = sorted(points, key=lambda point: int(point["number"]))
        known = [point for point in ordered if self._value(point) is not None]
        return sorted(known, key=self._value, reverse=self.falling) + [
            point for point in ordered if self._value(point) is None
        ]

    def column(self, metric: str) -> Column:
        """The head of a column: asked again it turns the order; accuracy begins with the highest, costs with the lowest."""
        mine = metric == self.metric
        falling = not self.falling if mine else metric == "accuracy"
        direction = ("descending" if self.falling else "ascending") if mine else ""
        title = "point" if metric == _NUMBER else title_of(metric)
        return Column(metric, title, f"{'-' if falling else ''}{metric}", direction)

    def _value(self, point: Mapping[str, Any]) -> Any:
        return point["number"] if self.metric == _NUMBER else point["metrics"].get(self.metric)


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """What stands above the points."""

    counts: list[tuple[str, int]]
    objectives: str
    budgets: str
    findings: list[tuple[str, str]]
    versions: list[tuple[str, str]]


def facts_of(document: Mapping[str, Any]) -> StudyFacts:
    """Counts, objectives, budgets and findings of a study in words."""
    points = document["points"]
    counts = [("on the front", sum(point["on_front"] for point in points))]
    counts += [(state, sum(point["state"] == state for point in points)) for state in ("complete", "pruned", "failed")]
    return StudyFacts(
        counts=counts,
        objectives=", ".join(
            f"{title_of(each['metric'])} {'high' if each['goal'] == 'max' else 'low'}"
            for each in document["objectives"]
        ),
        budgets=", ".join(_budget(each) for each in document["budgets"]),
        findings=[_finding(each) for each in document["saturation"]],
        versions=[(name, version) for name, version in document["versions"].items() if version],
    )


def chosen_points(document: Mapping[str, Any], shown: str, order: Order) -> list[Mapping[str, Any]]:
    """The points that the table is about, in its order; `shown` is a key of `SHOWN`."""
    flag = {"within": "within_budgets", "front": "on_front"}.get(shown)
    return order.apply([point for point in document["points"] if flag is None or point[flag]])


def point_rows(points: Sequence[Mapping[str, Any]], published: Mapping[str, Sequence[Variant]]) -> list[PointRow]:
    """The rows of these points; `published` are the variants by digest."""
    return [
        PointRow(
            number=point["number"],
            state=point["state"],
            cells=[text_of(metric, point["metrics"].get(metric)) for metric in COLUMNS],
            interval=_interval(point["metrics"].get("accuracy_ci95")),
            parameters=[(name, _plain(value)) for name, value in point["parameters"].items()],
            failure=point["failure"],
            on_front=point["on_front"],
            within_budgets=point["within_budgets"],
            variants=published.get(point["sha256"] or "", ()),
        )
        for point in points
    ]


def chart_points(study: Study) -> list[StudyPoint]:
    """The complete points that have an accuracy."""
    return [
        StudyPoint(
            number=point["number"],
            accuracy=accuracy,
            low=interval[0] if interval else None,
            high=interval[1] if interval else None,
            costs={cost: point["metrics"].get(cost) for cost in COSTS},
            on_front=point["on_front"],
            within_budgets=point["within_budgets"],
        )
        for point in study.document["points"]
        if point["state"] == "complete" and (accuracy := point["metrics"].get("accuracy")) is not None
        for interval in [point["metrics"].get("accuracy_ci95")]
    ]


def measured_costs(document: Mapping[str, Any], points: Sequence[StudyPoint]) -> list[str]:
    """The costs that any point has, the study's own objectives first."""
    present = [cost for cost in COSTS if any(point.costs[cost] is not None for point in points)]
    objectives = [each["metric"] for each in document["objectives"]]
    return sorted(present, key=lambda cost: (cost not in objectives, COSTS.index(cost)))


def _budget(budget: Mapping[str, Any]) -> str:
    bound = "at_most" if "at_most" in budget else "at_least"
    words = "at most" if bound == "at_most" else "at least"
    return f"{title_of(budget['metric'])} {words} {text_of(budget['metric'], budget[bound])}"


def _finding(each: Mapping[str, Any]) -> tuple[str, str]:
    """A finding and what it rests on."""
    name, metric, limit, p_value = each["parameter"], title_of(each["metric"]), each["saturates_at"], each["p_value"]
    known = COLUMNS if name in COLUMNS else ()
    level = text_of(name, limit) if name in known else _plain(limit)
    if limit is not None:
        words = f"Beyond {title_of(name)} {level} more of it was not found to buy {metric}."
    elif p_value is None:
        words = f"Whether {title_of(name)} stops buying {metric} is not known."
    else:
        words = f"More {title_of(name)} still buys {metric}, up to the most that was tried."
    return words, each["test"] + ("" if p_value is None else f"; p = {p_value:.3g}")


def _interval(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f"{formats.percent_text(interval[0])} to {formats.percent_text(interval[1])}"


def _plain(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
