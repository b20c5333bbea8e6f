"""Memory of this process by phase, from /proc.

Never `ru_maxrss`: it is inherited through exec, so a 9 MiB child of a 400 MiB parent reports 400 MiB. VmHWM belongs to
the new address space, and writing 5 to clear_refs sets it back to the present size, unprivileged (Linux 4.0).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import Absent, Maybe


@dataclass(frozen=True, slots=True)
class Phase:
    """Resident bytes when a phase ended, and the most it had at any moment of the phase."""

    rss_bytes: Maybe[int]
    peak_bytes: Maybe[int]


class PhaseMeter:
    """Reads the peak of each phase: `end_phase` closes one and opens the next."""

    def __init__(self, proc: Path = Path("/proc/self")) -> None:
        self._proc = proc
        self._reset_error = self._reset()

    @property
    def method(self) -> str:
        """How the peaks were taken."""
        return "VmHWM+clear_refs=5" if self._reset_error is None else "VmHWM"

    def end_phase(self) -> Phase:
        """The figures of the phase that ends here."""
        status = _kib_table(self._proc / "status")
        if isinstance(status, Absent):
            return Phase(status, status)
        peak: Maybe[int] = self._reset_error or _field(status, "VmHWM")
        self._reset_error = self._reset_error or self._reset()
        return Phase(_field(status, "VmRSS"), peak)

    def shares(self) -> tuple[Maybe[int], Maybe[int]]:
        """Proportional and unique resident bytes now."""
        rollup = _kib_table(self._proc / "smaps_rollup")
        if isinstance(rollup, Absent):
            return rollup, rollup
        private = [_field(rollup, name) for name in ("Private_Clean", "Private_Dirty", "Private_Hugetlb")]
        unique = sum(value for value in private if not isinstance(value, Absent))
        return _field(rollup, "Pss"), unique

    def _reset(self) -> Absent | None:
        try:
            (self._proc / "clear_refs").write_text("5")
        except OSError as error:
            return Absent(f"the peak cannot be reset between phases: {error.strerror}")
        return None


def _kib_table(path: Path) -> Mapping[str, int] | Absent:
    """The `Name:   123 kB` lines of a proc file, in bytes."""
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        return Absent(f"{path} cannot be read: {error.strerror}")
    words = [line.split() for line in lines]
    return {line[0].rstrip(":"): int(line[1]) * 1024 for line in words if len(line) == 3 and line[2] == "kB"}


def _field(table: Mapping[str, int], name: str) -> Maybe[int]:
    return table[name] if name in table else Absent(f"the kernel does not report {name}")
