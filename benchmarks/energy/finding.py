"""Choosing the best meter that this device has."""

from collections.abc import Callable
from pathlib import Path

from benchmarks.energy import acpi_meter, battery, hwmon_energy, input_rail, pi5_pmic, rapl
from benchmarks.energy.cpu_time import CpuTime
from benchmarks.energy.meter import EnergyMeter, EnergyUnreadable
from benchmarks.report import Absent

# Best first. To add a sensor: one file with such a `find`, and its line here.
_FINDERS: tuple[Callable[[Path], EnergyMeter | Absent], ...] = (
    hwmon_energy.find,
    input_rail.find,
    acpi_meter.find,
    rapl.find,
    pi5_pmic.find,
    battery.find,
)


def find_meter(
    *, longest_window_s: float = float("inf"), watts: float | None = None, root: Path = Path("/")
) -> EnergyMeter | Absent:
    """The best meter that answers now, else CPU time when the caller gives watts, else why there is none.

    Args:
        longest_window_s: what the run can give; a meter too slow for that is passed over.
        watts: power of one busy core, of this class of device.
        root: where `/sys` and `/dev` are.
    """
    reasons = []
    for find in _FINDERS:
        found = _usable(find(root), longest_window_s)
        if not isinstance(found, Absent):
            return found
        reasons.append(found.reason)
    if watts is not None:
        return CpuTime(watts)
    return Absent("; ".join([*reasons, "no watts given"]))


def _usable(found: EnergyMeter | Absent, longest_window_s: float) -> EnergyMeter | Absent:
    """The meter, if it can be read now (RAPL is mostly readable for root only) and is fast enough."""
    if isinstance(found, Absent):
        return found
    needed_s = found.source.min_window_s
    if needed_s > longest_window_s:
        name = f"{found.source.method} {found.source.detail}"
        return Absent(
            f"{name} needs windows of {needed_s:g} s and this run has {longest_window_s:g} s: measure in the tier normal"
        )
    try:
        found.read()
    except EnergyUnreadable as error:
        return Absent(str(error))
    return found
