"""Reading sysfs files whose driver may be gone, asleep, or broken in the next moment."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.energy.meter import EnergyUnreadable

# Labels of the input rail of a whole board. Sub-rails must never be added to it (jetson_stats issues 51 and 344).
BOARD_RAILS = frozenset({"POM_5V_IN", "VDD_IN", "VIN"})

_LONGEST_TEXT = 100
_LARGEST = 2**63 - 1  # the widest that a driver prints


@dataclass(frozen=True, slots=True)
class Chip:
    """One hwmon device: its folder and the driver's name."""

    folder: Path
    name: str


def hwmon_chips(root: Path) -> Iterator[Chip]:
    """Every hwmon device. Drivers that register the old way keep their files one level deeper, in `device/`."""
    for folder in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        for place in (folder, folder / "device"):
            name = text(place / "name")
            if name:
                yield Chip(place, name)
                break


def text(path: Path) -> str:
    """The file's text without white space around it; empty where it cannot be read."""
    try:
        with path.open(errors="replace") as file:
            return file.read(_LONGEST_TEXT).strip()
    except OSError:
        return ""


def number(path: Path) -> int | None:
    """The file's integer, or None where there is none. For what a sensor may or may not state."""
    try:
        return read_int(path)
    except EnergyUnreadable:
        return None


def read_int(path: Path) -> int:
    """The file's integer.

    Raises:
        EnergyUnreadable: it is not there, not readable for this user, or not an integer of 64 bits.
    """
    try:
        with path.open("rb", buffering=0) as file:
            value = int(file.read(_LONGEST_TEXT))
    except PermissionError as error:
        raise EnergyUnreadable(f"{path} is not readable for this user") from error
    except OSError as error:
        raise EnergyUnreadable(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise EnergyUnreadable(f"{path} holds no number") from error
    if abs(value) > _LARGEST:
        raise EnergyUnreadable(f"{path} holds no number of 64 bits")
    return value
