"""The board's input rail, measured by a shunt monitor: INA2xx, the three-channel INA3221 of Jetson boards, and its driver in JetPack 4.

Documentation/hwmon/ina2xx.rst: `power1_input` in microwatts. Documentation/hwmon/ina3221.rst: no power register, so power is the bus voltage
`in[123]_input` (mV) times the current `curr[123]_input` (mA); `in7` and `curr4` are sums over channels and no rails. JetPack 4's `ina3221x`
is an iio driver: `rail_name_N` and `in_powerN_input` in milliwatts.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.energy.meter import EnergyMeter, Source
from benchmarks.energy.sysfs import BOARD_RAILS, Chip, hwmon_chips, number, read_int, text
from benchmarks.report import Absent

_SHUNT_MONITOR = re.compile(r"ina\d+")
_NOT_CONNECTED = "NC"
# What the drivers do not say: an INA219 converts in 68 ms with the driver's averaging, and the iio driver polls within 100 ms.
_UNSTATED_INTERVAL_S = 0.1
# So many readings per window, so that one of them more or less at an edge is little.
_READINGS_PER_WINDOW = 10


@dataclass(frozen=True, slots=True)
class Rail:
    """One measured rail: the product of its files, in microwatts after `scale`."""

    label: str
    chip: str
    files: tuple[Path, ...]
    scale: int
    interval_s: float


@dataclass(frozen=True, slots=True)
class InputRail:
    """The chosen rail."""

    source: Source
    rail: Rail

    def read(self) -> tuple[int, ...]:
        """Microwatts now."""
        product = self.rail.scale
        for path in self.rail.files:
            product *= read_int(path)
        return (product,)


def find(root: Path) -> EnergyMeter | Absent:
    """The input rail by its label, or the only rail that anything measures."""
    rails = [rail for walk in _WALKS for rail in walk(root)]
    board = [rail for rail in rails if rail.label in BOARD_RAILS]
    chosen = board or rails
    if not rails:
        return Absent("no shunt monitor on I2C")
    if len(chosen) != 1:
        names = ", ".join(sorted(rail.label or rail.chip for rail in rails))
        return Absent(f"{len(rails)} rails are measured and none is known as the one input rail: {names}")
    rail = chosen[0]
    source = Source(
        "ina",
        1,
        "board" if board else "rails",
        f"{rail.chip}:{rail.label or rail.files[0].name}",
        interval_s=rail.interval_s,
        min_window_s=_READINGS_PER_WINDOW * rail.interval_s,
    )
    return InputRail(source, rail)


def _hwmon_rails(root: Path) -> Iterator[Rail]:
    for chip in hwmon_chips(root):
        if _SHUNT_MONITOR.fullmatch(chip.name):
            yield from _ina3221(chip) if chip.name == "ina3221" else _ina2xx(chip)


def _ina2xx(chip: Chip) -> Iterator[Rail]:
    power = chip.folder / "power1_input"
    if power.exists():
        label = text(chip.folder / "power1_label") or text(chip.folder / "label")
        yield Rail(label, chip.name, (power,), 1, _interval(chip))


def _ina3221(chip: Chip) -> Iterator[Rail]:
    for channel in (1, 2, 3):
        label = text(chip.folder / f"in{channel}_label")
        enabled = number(chip.folder / f"in{channel}_enable")
        if label and _NOT_CONNECTED not in label and enabled != 0:
            files = (chip.folder / f"in{channel}_input", chip.folder / f"curr{channel}_input")
            yield Rail(label, chip.name, files, 1, _interval(chip))


def _interval(chip: Chip) -> float:
    """Seconds between two conversions; the ABI's `update_interval` is milliseconds, and 0 stands for the shortest there is."""
    stated_ms = number(chip.folder / "update_interval")
    return _UNSTATED_INTERVAL_S if stated_ms is None else max(stated_ms, 1) / 1000


def _iio_rails(root: Path) -> Iterator[Rail]:
    for name_file in sorted((root / "sys/bus/i2c/drivers/ina3221x").glob("*/iio:device*/rail_name_*")):
        label = text(name_file)
        power = name_file.with_name(f"in_power{name_file.name.removeprefix('rail_name_')}_input")
        if label and _NOT_CONNECTED not in label:
            yield Rail(label, "ina3221x", (power,), 1000, _UNSTATED_INTERVAL_S)


_WALKS: tuple[Callable[[Path], Iterator[Rail]], ...] = (_hwmon_rails, _iio_rails)
