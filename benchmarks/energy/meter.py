"""What an energy meter is: a cumulative counter that is read at window edges, and what it stands for."""

from dataclasses import dataclass
from typing import Protocol

from benchmarks.report import Absent, Maybe


class EnergyUnreadable(Exception):
    """A counter could not be read, or ran backwards. The message becomes the reason in the report."""


_UNSTATED = Absent("the counter states no accuracy")


@dataclass(frozen=True, slots=True)
class Source:
    """Where the joules come from.

    Attributes:
        method: name of the method, as in the report's schema.
        tier: 1 (a board's own energy register) to 5 (CPU time times watts); lower is better.
        scope: what the joules include: board, package, rails, process-share.
        detail: the counter's own name.
        u_rel_pct: the sensor's relative uncertainty in percent, if it states one.
    """

    method: str
    tier: int
    scope: str
    detail: str
    u_rel_pct: Maybe[float] = _UNSTATED


@dataclass(frozen=True, slots=True)
class Delta:
    """Energy between two readings, and how often the counter wrapped around."""

    joules: float
    wraps: int


class EnergyMeter(Protocol):
    """A cumulative counter in microjoules."""

    @property
    def source(self) -> Source:
        """What the counter stands for."""

    def read_uj(self) -> int:
        """The counter now.

        Raises:
            EnergyUnreadable: it cannot be read any more.
        """

    def between(self, earlier_uj: int, later_uj: int) -> Delta:
        """The energy between two readings.

        Raises:
            EnergyUnreadable: the counter ran backwards and has no known range to wrap around.
        """
