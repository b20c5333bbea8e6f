"""Peak memory of other processes, from /proc: VmHWM, which ends with the process it is of."""

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self


def peak_bytes(pid: int) -> int:
    """VmHWM: the most resident memory since the process began, or since `reset_peak`; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def reset_peak(pid: int) -> None:
    """Let VmHWM begin anew at what is resident now (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def children_of(pid: int) -> list[int]:
    """The processes that a process's threads started and that still run."""
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in children.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


class ChildrensPeak:
    """Watches the children of a process while the context lasts."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch)
        self.peaks: dict[int, int] = {}

    @property
    def highest_bytes(self) -> int:
        """The peak of the largest child seen."""
        return max(self.peaks.values(), default=0)

    def _watch(self) -> None:
        while not self._over.is_set():
            for child in children_of(self._pid):
                self.peaks[child] = max(self.peaks.get(child, 0), peak_bytes(child))
            time.sleep(0.005)

    def __enter__(self) -> Self:
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._watcher.join()
