"""What an energy meter is: something that is read, and what its readings stand for."""

from dataclasses import dataclass
from typing import Protocol

from benchmarks.report import Absent, Maybe


class EnergyUnreadable(Exception):
    """A meter could not be read, or its reading makes no sense. The message becomes the reason in the report."""


_UNSTATED = Absent("the sensor states no accuracy")


@dataclass(frozen=True, slots=True)
class Source:
    """Where the joules come from.

    Attributes:
        method: name of the method, as in the report's schema.
        tier: 1 (the board's own meter), 2 (RAPL), 3 (regulators of the board), 4 (battery gauge) or 5 (CPU time times watts).
        scope: what the joules include: board, package, rails, process-share.
        detail: the sensor's own name.
        u_rel_pct: the sensor's relative uncertainty in percent, if it states one.
        interval_s: None for counters, which are read at the edges of windows; else readings are power, renewed every so many
            seconds, and sampled.
        min_window_s: the shortest window that such a sensor can resolve.
        ranges_uj: where each counter wraps around, if that is known.
        counts_idle: whether the meter also counts when the model does nothing, so that a baseline makes sense.
    """

    method: str
    tier: int
    scope: str
    detail: str
    u_rel_pct: Maybe[float] = _UNSTATED
    interval_s: float | None = None
    min_window_s: float = 0.0
    ranges_uj: tuple[int | None, ...] = ()
    counts_idle: bool = True


class EnergyMeter(Protocol):
    """Counters in microjoules, or (where the source has an `interval_s`) power in microwatts. Parts are added up."""

    @property
    def source(self) -> Source:
        """What the readings stand for."""

    def read(self) -> tuple[int, ...]:
        """One reading of each part.

        Raises:
            EnergyUnreadable: it cannot be read now.
        """
