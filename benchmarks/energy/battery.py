"""The battery's fuel gauge (Documentation/ABI/testing/sysfs-class-power): the whole device, but slow, averaged, and only while discharging.

The sign of `current_now` differs between drivers, whatever the ABI says; whether current leaves the battery is known by `status` alone.
"""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.energy.meter import EnergyMeter, EnergyUnreadable, Source
from benchmarks.energy.sysfs import number, read_int, text
from benchmarks.report import Absent, Maybe

# Gauges filter over seconds to tens of seconds and do not say how long; a minute is the least that means anything.
_INTERVAL_S = 2.0
_MIN_WINDOW_S = 60.0


@dataclass(frozen=True, slots=True)
class Battery:
    """One battery."""

    source: Source
    folder: Path
    has_power: bool

    def read(self) -> tuple[int, ...]:
        """Microwatts that leave the battery now."""
        _refuse_unless_discharging(self.folder)
        if self.has_power:
            return (abs(read_int(self.folder / "power_now")),)
        microamperes, microvolts = read_int(self.folder / "current_now"), read_int(self.folder / "voltage_now")
        return (abs(microamperes) * microvolts // 1_000_000,)


def _refuse_unless_discharging(folder: Path) -> None:
    status = text(folder / "status") or "gone"
    if status != "Discharging":
        raise EnergyUnreadable(f"the battery {folder.name} is {status}, so it does not feed the device alone")


def find(root: Path) -> EnergyMeter | Absent:
    """The one battery that feeds this device."""
    batteries = [
        folder
        for folder in sorted((root / "sys/class/power_supply").glob("*"))
        # A mouse or a keyboard has a battery too; its `scope` is Device.
        if text(folder / "type") == "Battery" and text(folder / "scope") != "Device" and number(folder / "present") != 0
    ]
    if not batteries:
        return Absent("no battery")
    if len(batteries) > 1:
        return Absent(f"{len(batteries)} batteries, which may feed the device in turn")
    folder = batteries[0]
    has_power = number(folder / "power_now") is not None
    source = Source(
        "battery", 4, "board", folder.name, _margin(folder), interval_s=_INTERVAL_S, min_window_s=_MIN_WINDOW_S
    )
    return Battery(source, folder, has_power)


def _margin(folder: Path) -> Maybe[float]:
    """The gauge's own margin of error in percent; at 100 % it says of itself that it knows nothing."""
    margin = number(folder / "capacity_error_margin")
    return Absent("the gauge states no error margin") if margin is None else float(margin)
