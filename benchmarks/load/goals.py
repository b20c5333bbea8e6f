"""Measured figures beside the goals they are held to, as a table."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value; `goal` is the most it may be, `None` where it is only told."""

    what: str
    value: float
    unit: str
    goal: float | None = None

    @property
    def is_met(self) -> bool:
        """Whether the value keeps its goal; one without a goal does."""
        return self.goal is None or self.value <= self.goal


def as_table(figures: Iterable[Figure]) -> str:
    """The figures as lines of text, one each."""
    rows = [("figure", "measured", "goal", "")]
    rows += [
        (
            one.what,
            f"{one.value:,.6g} {one.unit}",
            "" if one.goal is None else f"<= {one.goal:,g} {one.unit}",
            "" if one.goal is None else ("met" if one.is_met else "MISSED"),
        )
        for one in figures
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
