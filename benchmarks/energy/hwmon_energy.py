"""Cumulative energy registers of hwmon chips: the best there is, since the chip itself integrates.

`energy*_input` is microjoules since the driver was loaded (Documentation/ABI/testing/sysfs-class-hwmon). Graphics cards and CPUs have such
registers too, so only the board's input rail by its label, or the one register of a shunt monitor, is taken.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from benchmarks.energy.meter import EnergyMeter, Source
from benchmarks.energy.sysfs import BOARD_RAILS, hwmon_chips, read_int, text
from benchmarks.report import Absent

# INA228, INA780 and their like: shunt monitors that accumulate.
_SHUNT_MONITOR = re.compile(r"ina\d+")


@dataclass(frozen=True, slots=True)
class HwmonEnergy:
    """One register."""

    source: Source
    path: Path

    def read(self) -> tuple[int, ...]:
        """Microjoules so far."""
        return (read_int(self.path),)


def find(root: Path) -> EnergyMeter | Absent:
    """The register of the board's input rail, or the only one of any shunt monitor."""
    named = [
        (chip.name, text(path.with_name(path.name.replace("_input", "_label"))) or text(chip.folder / "label"), path)
        for chip in hwmon_chips(root)
        for path in sorted(chip.folder.glob("energy*_input"))
    ]
    board = [entry for entry in named if entry[1] in BOARD_RAILS]
    monitors = [entry for entry in named if _SHUNT_MONITOR.fullmatch(entry[0])]
    chosen = board or monitors
    if not named:
        return Absent("no energy register in /sys/class/hwmon")
    if len(chosen) != 1:
        return Absent(f"{len(named)} energy registers in /sys/class/hwmon and none is known as the input rail")
    name, label, path = chosen[0]
    detail = f"{name}:{label or path.name}"
    return HwmonEnergy(Source("hwmon", 1, "board" if board else "rails", detail, ranges_uj=(None,)), path)
