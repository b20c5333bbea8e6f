"""RAPL through powercap: energy of CPU packages, or of the platform where it has that domain (Documentation/power/powercap/powercap.rst).

Zones nest (a package contains its cores and memory controller) and are reached a second time over MMIO, so only top-level zones of
the MSR interface count. Readable by root only since Linux 5.10 (PLATYPUS, CVE-2020-8694); docs/energy.md says how to grant it.
"""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.energy.meter import EnergyMeter, EnergyUnreadable, Source
from benchmarks.energy.sysfs import number, read_int, text
from benchmarks.report import Absent


@dataclass(frozen=True, slots=True)
class Rapl:
    """The top-level zones of one kind."""

    source: Source
    paths: tuple[Path, ...]

    def read(self) -> tuple[int, ...]:
        """Microjoules so far of each zone."""
        return tuple(_read_zone(path) for path in self.paths)


def _read_zone(path: Path) -> int:
    try:
        return read_int(path)
    except EnergyUnreadable as error:
        if isinstance(error.__cause__, PermissionError):
            raise EnergyUnreadable(
                f"{path} is readable for root only; docs/energy.md says how to change that"
            ) from error
        raise


def find(root: Path) -> EnergyMeter | Absent:
    """The platform domain (psys) if there is one, else all packages."""
    zones = sorted((root / "sys/class/powercap").glob("intel-rapl:*"))
    top = [zone for zone in zones if zone.name.count(":") == 1]
    psys = [zone for zone in top if text(zone / "name") == "psys"]
    packages = [zone for zone in top if text(zone / "name").startswith("package")]
    chosen, method, scope = (psys, "rapl-psys", "board") if psys else (packages, "rapl-pkg", "package")
    if not chosen:
        return Absent("no RAPL domain in /sys/class/powercap")
    names = "+".join(text(zone / "name") for zone in chosen)
    ranges = tuple(number(zone / "max_energy_range_uj") or None for zone in chosen)
    return Rapl(Source(method, 2, scope, names, ranges_uj=ranges), tuple(zone / "energy_uj" for zone in chosen))
