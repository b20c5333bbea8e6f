"""Choosing the best meter that this device has."""

from pathlib import Path

from benchmarks.energy.counters import find_hwmon, find_rapl
from benchmarks.energy.cpu_time import CpuTimeMeter
from benchmarks.energy.meter import EnergyMeter
from benchmarks.report import Absent


def find_meter(*, sys_root: Path = Path("/sys"), watts: float | None = None) -> EnergyMeter | Absent:
    """An energy register of the board, else RAPL, else CPU time when the caller gives watts; else why there is none."""
    reasons = []
    for find in (find_hwmon, find_rapl):
        found = find(sys_root)
        if not isinstance(found, Absent):
            return found
        reasons.append(found.reason)
    if watts is not None:
        return CpuTimeMeter(watts)
    return Absent("; ".join([*reasons, "no watts given"]))
