r"""ACPI 4.0 power meters of a whole system (Documentation/hwmon/acpi_power_meter.rst): an average, its interval and its accuracy.

The system's meter is the one whose metered devices are `\_SB`, Linux's LNXSYBUS:00 (ACPI 6.0, 10.4.8); others measure parts.
"""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.energy.meter import EnergyMeter, Source
from benchmarks.energy.sysfs import Chip, hwmon_chips, number, read_int, text
from benchmarks.report import Absent, Maybe

_UNSTATED_INTERVAL_S = 1.0
_READINGS_PER_WINDOW = 10
_SYSTEM = "LNXSYBUS:00"
_HALF_PCT = 50.0


@dataclass(frozen=True, slots=True)
class AcpiMeter:
    """One meter."""

    source: Source
    path: Path

    def read(self) -> tuple[int, ...]:
        """Microwatts, averaged by the firmware."""
        return (read_int(self.path),)


def find(root: Path) -> EnergyMeter | Absent:
    """The meter of the whole system, or the only one there is."""
    meters = [chip for chip in hwmon_chips(root) if chip.name == "power_meter" and _measures(chip)]
    whole = [chip for chip in meters if _measured_devices(chip, _SYSTEM)]
    chosen = whole or meters
    if not meters:
        return Absent("no ACPI power meter")
    if len(chosen) != 1:
        return Absent(f"{len(meters)} ACPI power meters and none is known as the system's")
    folder = chosen[0].folder
    interval_ms = number(folder / "power1_average_interval")
    interval_s = interval_ms / 1000 if interval_ms else _UNSTATED_INTERVAL_S
    model = text(folder / "power1_model_number")
    source = Source(
        "acpi",
        1,
        "board",
        f"power_meter:{model}" if model else "power_meter",
        _uncertainty(text(folder / "power1_accuracy")),
        interval_s=interval_s,
        min_window_s=_READINGS_PER_WINDOW * interval_s,
    )
    return AcpiMeter(source, folder / "power1_average")


def _measures(chip: Chip) -> bool:
    """A meter that can be read and is not a battery's, which the battery reader knows more about."""
    return (chip.folder / "power1_average").exists() and number(chip.folder / "power1_is_battery") != 1


def _measured_devices(chip: Chip, name: str) -> bool:
    return any((folder / "measures" / name).exists() for folder in (chip.folder, chip.folder / "device"))


def _uncertainty(stated: str) -> Maybe[float]:
    """Percent of error from what the driver prints: whole and thousandths of a percent, "97.500%".

    ACPI states how much of the reading is right (100 % is exact); a figure below a half can only be an error. The driver does not pad the
    thousandths: "97.50%" is 97.050 (drivers/hwmon/acpi_power_meter.c, show_accuracy).
    """
    whole, _, thousandths = stated.removesuffix("%").partition(".")
    try:
        accuracy = int(whole) + int(thousandths or 0) / 1000
    except ValueError:
        return Absent("the power meter states no accuracy")
    if not 0 < accuracy <= 100:
        return Absent(f"the power meter states an accuracy of {stated}")
    return round(100 - accuracy if accuracy > _HALF_PCT else accuracy, 3)
