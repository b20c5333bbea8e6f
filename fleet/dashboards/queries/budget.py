"""The limits of a model line as a table: variants against limits, in each cell what the file and each device class say."""

from collections.abc import Sequence
from dataclasses import dataclass

from fleet.dashboards import formats
from fleet.measurements.budgets import BudgetCheck, VariantCheck
from registry.budgets import Check, Limit, Quantity, Verdict, bound_text, value_text, worst
from registry.models import Version

TITLES = {
    Quantity.PARAM_AND_ACTIVATION_BYTES: "Parameters and activations",
    Quantity.FILE_SIZE_BYTES: "File",
    Quantity.QUALITY: "Quality",
    Quantity.FPS: "Speed",
    Quantity.ENERGY_J: "Energy per inference",
    Quantity.PEAK_MEMORY_BYTES: "Peak memory",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A limit at the head of its column."""

    title: str
    bound: str


@dataclass(frozen=True, slots=True)
class Line:
    """One known figure in a cell, with where it comes from."""

    verdict: Verdict
    value: str
    where: str
    note: str


@dataclass(frozen=True, slots=True)
class Cell:
    """One limit of one variant: what is known, and in one line what is not."""

    verdict: Verdict
    lines: Sequence[Line]
    unknown: str


@dataclass(frozen=True, slots=True)
class Row:
    """One variant."""

    label: str
    verdict: Verdict
    cells: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class BudgetTable:
    """The table; without columns there is no budget."""

    configuration: str
    columns: Sequence[Column]
    rows: Sequence[Row]


def budget_table(checked: BudgetCheck, versions: Sequence[Version]) -> BudgetTable:
    """The table of a checked budget; `versions` are those of the variants."""
    numbers = {version.pk: version.version for version in versions}
    return BudgetTable(
        configuration=checked.budget.configuration,
        columns=[_column(limit) for limit in checked.limits],
        rows=[
            Row(
                label=f"{numbers[one.variant.version_id]} {one.variant.name}",
                verdict=one.verdict,
                cells=[_cell(one, limit) for limit in checked.limits],
            )
            for one in checked.variants
        ],
    )


def _column(limit: Limit) -> Column:
    title = f"{limit.metric.capitalize()}" if limit.quantity is Quantity.QUALITY else TITLES[limit.quantity]
    return Column(title, bound_text(limit))


def _cell(variant: VariantCheck, limit: Limit) -> Cell:
    checks = variant.of(limit)
    unknown = [check for check in checks if check.verdict is Verdict.UNKNOWN]
    return Cell(
        verdict=worst(checks),
        lines=[_line(check) for check in checks if check.verdict is not Verdict.UNKNOWN],
        unknown="; ".join(dict.fromkeys(_unknown_text(check) for check in unknown)),
    )


def _line(check: Check) -> Line:
    notes = []
    if check.by_devices:
        notes.append(f"{formats.count_text(check.devices)} device{'' if check.devices == 1 else 's'}")
    if check.devices_beyond:
        notes.append(f"{formats.count_text(check.devices_beyond)} beyond the limit")
    if check.meets_wanted is False:
        notes.append("not what is wanted")
    if check.detail:
        notes.append(check.detail)
    where = (check.device_class or "no class") if check.by_devices else ""
    return Line(check.verdict, value_text(check.limit, check.value), where, ", ".join(notes))


def _unknown_text(check: Check) -> str:
    where = f"{check.device_class}: " if check.device_class else ""
    return f"{where}{check.detail}"
