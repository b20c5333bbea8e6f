"""Counters in sysfs: RAPL through powercap, and energy registers of hwmon. Root-relative, so that tests can bring a tree."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.energy.meter import Delta, EnergyUnreadable, Source
from benchmarks.report import Absent

# Labels of the input rail of a whole board; sub-rails must never be added to it (jetson_stats issues 51 and 344).
_BOARD_LABELS = frozenset({"POM_5V_IN", "VDD_IN", "VIN"})


@dataclass(frozen=True, slots=True)
class SysfsCounter:
    """One or several sysfs files that count microjoules and are added up. `range_uj` is where each wraps around."""

    source: Source
    paths: tuple[Path, ...]
    range_uj: int | None

    def read_uj(self) -> int:
        """The sum of the files now."""
        return sum(_read_int(path) for path in self.paths)

    def between(self, earlier_uj: int, later_uj: int) -> Delta:
        """The difference; each file is taken to have wrapped at most once, which holds for windows under a minute."""
        if later_uj >= earlier_uj:
            return Delta((later_uj - earlier_uj) / 1e6, 0)
        wraps = -(-(earlier_uj - later_uj) // self.range_uj) if self.range_uj else len(self.paths) + 1
        if self.range_uj is None or wraps > len(self.paths):
            raise EnergyUnreadable(f"{self.source.detail} ran backwards")
        return Delta((later_uj + wraps * self.range_uj - earlier_uj) / 1e6, wraps)


def _read_int(path: Path) -> int:
    try:
        return int(path.read_text())
    except PermissionError as error:
        raise EnergyUnreadable(f"{path} is not readable for this user") from error
    except (OSError, ValueError) as error:
        raise EnergyUnreadable(f"{path} cannot be read: {error}") from error


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def find_rapl(sys_root: Path) -> SysfsCounter | Absent:
    """The platform domain (psys) if there is one, else all packages.

    Zones nest (a package contains its cores and memory controller) and are reached a second time over MMIO, so only
    top-level zones of the MSR interface count. https://docs.kernel.org/power/powercap/powercap.html
    """
    zones = sorted((sys_root / "class/powercap").glob("intel-rapl:*"))
    top = [zone for zone in zones if zone.name.count(":") == 1]
    psys = [zone for zone in top if _text(zone / "name") == "psys"]
    packages = [zone for zone in top if _text(zone / "name").startswith("package")]
    chosen, method, scope = (psys, "rapl-psys", "board") if psys else (packages, "rapl-pkg", "package")
    if not chosen:
        return Absent("no RAPL domain in /sys/class/powercap")
    names = "+".join(_text(zone / "name") for zone in chosen)
    counter_range = int(_text(chosen[0] / "max_energy_range_uj") or 0) or None
    return _readable(
        SysfsCounter(Source(method, 2, scope, names), tuple(z / "energy_uj" for z in chosen), counter_range)
    )


def find_hwmon(sys_root: Path) -> SysfsCounter | Absent:
    """The one energy register of the board: the input rail by its label, or the only one there is.

    `energy*_input` is cumulative microjoules. https://docs.kernel.org/hwmon/sysfs-interface.html
    """
    registers = sorted((sys_root / "class/hwmon").glob("hwmon*/energy*_input"))
    if not registers:
        return Absent("no energy register in /sys/class/hwmon")
    labels = {path: _text(path.with_name(path.name.replace("_input", "_label"))) for path in registers}
    board = [path for path in registers if labels[path] in _BOARD_LABELS]
    if len(board) != 1 and len(registers) != 1:
        return Absent(f"{len(registers)} energy registers in /sys/class/hwmon and none is known as the input rail")
    chosen = (board or registers)[0]
    name = f"{_text(chosen.parent / 'name')}:{labels[chosen] or chosen.name}"
    return _readable(SysfsCounter(Source("hwmon", 1, "board" if board else "rails", name), (chosen,), None))


def _readable(counter: SysfsCounter) -> SysfsCounter | Absent:
    """The counter if it can be read now (RAPL is readable by root only since Linux 5.10)."""
    try:
        counter.read_uj()
    except EnergyUnreadable as error:
        return Absent(str(error))
    return counter
