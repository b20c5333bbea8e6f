"""What may have slowed the processor down while it was measured. Read at window edges, where reading costs no inference anything.

Temperature, frequency, the kernel's throttle counters and cooling devices, Raspberry Pi's firmware flags, and pressure: where the device has them.
None of the readers of `/sys` has been tried on its hardware; the tests bring trees made from the kernel's documentation.

Sources: Documentation/admin-guide/pm/cpufreq.rst (scaling_cur_freq: mostly what the driver last asked for, not what the hardware does),
Documentation/admin-guide/thermal/intel_thermal_throttle.rst, Documentation/driver-api/thermal/sysfs-api.rst, drivers/hwmon/raspberrypi-hwmon.c,
Raspberry Pi's `vcgencmd get_throttled`, Documentation/accounting/psi.rst, Documentation/scheduler/sched-stats.rst.
"""

import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.energy.sysfs import hwmon_chips, number, text
from benchmarks.report import Absent, Maybe

# Zones that stand for the processor, by the names that drivers give them; a battery's or a radio's says little about it.
_PROCESSOR_ZONE = re.compile(r"cpu|pkg|soc|core|^tj", re.IGNORECASE)
# cpufreq-cpu0 (and thermal-cpufreq-0 of older kernels), Processor (ACPI), intel_powerclamp; not fans.
_PROCESSOR_COOLER = re.compile(r"cpufreq|powerclamp|^processor|^cpu", re.IGNORECASE)
# get_throttled: under-voltage; frequency capped, throttled, soft temperature limit. The same 16 bits higher: since boot.
_UNDERVOLT_BIT = 0b0001
_THROTTLED_BITS = 0b1110
_SINCE_BOOT = 16
# One short reason for all that this kind of device does not have: reports travel over links that cost money.
NOT_IN_SYS = Absent("none in /sys")
# The speed may wander by this much between windows before it counts as a change.
STEADY_FREQUENCY = 0.9

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Edge:
    """What was read at one window edge; None where the device has no such source, or it did not answer."""

    at_ns: int
    freq_khz: int | None
    freq_ratio: float | None
    temp_c: float | None
    core_throttles: int | None
    package_throttles: int | None
    cooling_state: int | None
    firmware_bits: int | None
    undervolt_alarm: bool | None
    pressure_us: int | None
    waited_ns: int | None


class EvidenceLog:
    """Reads everything at each window edge.

    Args:
        cpus: the CPUs that the process is bound to; empty where it is not, then the one it runs on in that moment counts.
        root: where `/sys` and `/proc` are.
    """

    def __init__(self, *, cpus: Sequence[int] = (), root: Path = Path("/")) -> None:
        self.edges: list[Edge] = []
        self._root, self._cpus = root, tuple(cpus)
        self._zones = _processor_zones(root)
        self._cores, self._packages = _throttle_counters(root)
        self._coolers = [
            folder / "cur_state"
            for folder in sorted((root / "sys/class/thermal").glob("cooling_device*"))
            if _PROCESSOR_COOLER.search(text(folder / "type"))
        ]
        self._alarms = [chip.folder / "in0_lcrit_alarm" for chip in hwmon_chips(root) if chip.name == "rpi_volt"]
        self._firmware = sorted((root / "sys/devices/platform").glob("soc*/soc*:firmware/get_throttled"))

    def at_edge(self) -> None:
        """Take one reading of everything."""
        frequencies = [_frequency(self._root, cpu) for cpu in self._cpus or _own_cpu(self._root)]
        known = [found for found in frequencies if found is not None]
        alarms = _numbers(self._alarms)
        slowest = min(known, default=(None, None), key=lambda found: found[0])
        self.edges.append(
            Edge(
                at_ns=time.perf_counter_ns(),
                freq_khz=slowest[0],
                freq_ratio=slowest[1],
                temp_c=max((value / 1000 for value in _numbers(self._zones)), default=None),
                core_throttles=_total(self._cores),
                package_throttles=_total(self._packages),
                cooling_state=max((max(0, value) for value in _numbers(self._coolers)), default=None),
                firmware_bits=_firmware_bits(self._firmware),
                undervolt_alarm=any(alarms) if alarms else None,
                pressure_us=pressure_us(self._root),
                waited_ns=waited_ns(self._root),
            )
        )

    @property
    def temperatures_c(self) -> Maybe[list[float]]:
        """The processor's hottest zone at the end of each window."""
        return self._column(lambda edge: edge.temp_c) or NOT_IN_SYS

    @property
    def frequencies_khz(self) -> Maybe[list[int]]:
        """The slowest CPU that was run on, at the end of each window."""
        return self._column(lambda edge: edge.freq_khz) or NOT_IN_SYS

    def _column(self, figure: Callable[[Edge], _T | None]) -> list[_T] | None:
        values = [figure(edge) for edge in self.edges[1:]]
        present = [value for value in values if value is not None]
        return present if len(present) == len(values) else None

    @property
    def frequency_ratio(self) -> Maybe[float]:
        """The slowest window's frequency over the fastest one's."""
        found = self.frequencies_khz
        return found if isinstance(found, Absent) else round(min(found) / max(found), 4)

    @property
    def throttle_events(self) -> Maybe[int]:
        """Counted throttle events, steps of the processor's cooling, and firmware flags that were up; 0 says there was none."""
        found = [
            self._rise(lambda edge: edge.core_throttles),
            self._rise(lambda edge: edge.package_throttles),
            self._highest(lambda edge: edge.cooling_state),
            None if (bits := self._firmware_flags()) is None else (bits & _THROTTLED_BITS).bit_count(),
        ]
        present = [value for value in found if value is not None]
        return sum(present) if present else NOT_IN_SYS

    @property
    def undervolt(self) -> Maybe[bool]:
        """Whether the supply's voltage was too low at some time of the run (Raspberry Pi)."""
        alarm, bits = self._highest(lambda edge: edge.undervolt_alarm), self._firmware_flags()
        if alarm is None and bits is None:
            return NOT_IN_SYS
        return bool(alarm) or bool((bits or 0) & _UNDERVOLT_BIT)

    @property
    def pressure_us(self) -> Maybe[int]:
        """Microseconds of the timed windows in which some task of the device waited for a CPU."""
        rise = self._rise(lambda edge: edge.pressure_us)
        return Absent("no pressure stall information") if rise is None else rise

    @property
    def pressure_share(self) -> Maybe[float]:
        """The same as a share of the wall time."""
        rise, wall_ns = self.pressure_us, self.edges[-1].at_ns - self.edges[0].at_ns
        return rise if isinstance(rise, Absent) else round(rise * 1000 / wall_ns, 4)

    def wait_share(self, threads: int) -> Maybe[float]:
        """The time in which this process's threads were ready to run and had no CPU, as a share of the wall time of each.

        Unlike pressure it counts nobody else; unlike CPU time it serves for several threads too, which may well wait for each other.
        """
        rise, wall_ns = self._rise(lambda edge: edge.waited_ns), self.edges[-1].at_ns - self.edges[0].at_ns
        if rise is None:
            return Absent("no schedstat in /proc")
        if rise < 0:
            return Absent("a thread ended during the run, and what it had waited went with it")
        return round(rise / wall_ns / threads, 4)

    def throttling(self) -> Maybe[dict[str, Any]]:
        """The report's throttling block; sources that this kind of device never has are not in it."""
        events, temperatures, steadiness = self.throttle_events, self.temperatures_c, self.frequency_ratio
        if all(isinstance(found, Absent) for found in (events, temperatures, steadiness)):
            return NOT_IN_SYS
        ratios = [edge.freq_ratio for edge in self.edges if edge.freq_ratio is not None]
        bits = self._firmware_flags()
        sources = {
            "core_throttle_count_delta": self._rise(lambda edge: edge.core_throttles),
            "package_throttle_count_delta": self._rise(lambda edge: edge.package_throttles),
            "cooling_state_max": self._highest(lambda edge: edge.cooling_state),
            "rpi_get_throttled": None if bits is None else hex(bits),
        }
        return {
            "evidence": _verdict(events, steadiness),
            "temp_max_c": temperatures if isinstance(temperatures, Absent) else max(temperatures),
            "freq_ratio_min": round(min(ratios), 4) if ratios else NOT_IN_SYS,
            **{name: value for name, value in sources.items() if value is not None},
        }

    def _rise(self, figure: Callable[[Edge], int | None]) -> int | None:
        """How much a counter grew from the first edge to the last."""
        first, last = figure(self.edges[0]), figure(self.edges[-1])
        return None if first is None or last is None else last - first

    def _highest(self, figure: Callable[[Edge], int | None]) -> int | None:
        return max((value for edge in self.edges if (value := figure(edge)) is not None), default=None)

    def _firmware_flags(self) -> int | None:
        """The flags that were up at an edge, or came up between two: the bits since boot catch what was short."""
        readings = [edge.firmware_bits for edge in self.edges if edge.firmware_bits is not None]
        if not readings:
            return None
        flags = 0
        for bits in readings:
            flags |= bits
        for earlier, later in pairwise(readings):
            flags |= (later & ~earlier) >> _SINCE_BOOT
        return flags & (_UNDERVOLT_BIT | _THROTTLED_BITS)


def pressure_us(root: Path = Path("/")) -> int | None:
    """Microseconds since boot in which some task waited for a CPU (pressure stall information)."""
    found = re.search(r"^some .*\btotal=(\d+)", text(root / "proc/pressure/cpu"))
    return int(found[1]) if found else None


def waited_ns(root: Path = Path("/")) -> int | None:
    """Nanoseconds that the threads of this process waited on a run queue: the second field of schedstat.

    A kernel that does not count says 0 of all three (CONFIG_SCHED_INFO).
    """
    fields = [text(path).split() for path in (root / "proc/self/task").glob("*/schedstat")]
    counted = [(int(spent[0]), int(spent[1])) for spent in fields if len(spent) == 3]
    return sum(waited for _, waited in counted) if any(ran for ran, _ in counted) else None


def _verdict(events: Maybe[int], steadiness: Maybe[float]) -> str:
    if not isinstance(events, Absent) and events > 0:
        return "confirmed"
    if not isinstance(steadiness, Absent) and steadiness < STEADY_FREQUENCY:
        return "suspected"
    return "unavailable" if isinstance(events, Absent) else "none"


def _processor_zones(root: Path) -> list[Path]:
    zones = sorted((root / "sys/class/thermal").glob("thermal_zone*"))
    chosen = [zone for zone in zones if _PROCESSOR_ZONE.search(text(zone / "type"))] or zones
    return [zone / "temp" for zone in chosen]


def _throttle_counters(root: Path) -> tuple[list[Path], list[Path]]:
    """A file for each core, and one for each package: its count is repeated in every CPU of it."""
    folders = sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle"))
    packages = {text(folder.parent / "topology/physical_package_id"): folder for folder in reversed(folders)}
    return (
        [folder / "core_throttle_count" for folder in folders],
        [folder / "package_throttle_count" for folder in packages.values()],
    )


def _frequency(root: Path, cpu: int) -> tuple[int, float] | None:
    """The frequency now in kHz, and over the most that the hardware offers."""
    folder = root / f"sys/devices/system/cpu/cpu{cpu}/cpufreq"
    now, most = number(folder / "scaling_cur_freq"), number(folder / "cpuinfo_max_freq")
    return None if now is None or not most else (now, now / most)


def _own_cpu(root: Path) -> tuple[int, ...]:
    """The CPU that this thread runs on: field 39 of stat; counted from the end of the name, which may hold anything."""
    try:
        fields = (root / "proc/thread-self/stat").read_text().rpartition(")")[2].split()
        return (int(fields[36]),)
    except (OSError, IndexError, ValueError):
        return ()


def _firmware_bits(paths: Sequence[Path]) -> int | None:
    for path in paths:
        try:
            return int(text(path), 16)
        except ValueError:
            continue
    return None


def _numbers(paths: Iterable[Path]) -> list[int]:
    return [value for path in paths if (value := number(path)) is not None]


def _total(paths: Sequence[Path]) -> int | None:
    found = _numbers(paths)
    return sum(found) if found and len(found) == len(paths) else None
