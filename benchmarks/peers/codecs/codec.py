"""The seam between the comparison and what is compared: one class per codec, one file per class.

A codec is used in a fresh child process for each step. `load` runs before the clock starts, so that imports are not measured.
"""

import re
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import Literal, Protocol

POLL_S = 0.002
NEEDS_BASE = "needs a base"

StepName = Literal["make", "apply"]


class Codec(Protocol):
    """One way of getting a file to who may hold another.

    Attributes:
        name: for tables and `--peer`.
        uses_base: it reads a base where there is one.
        how_to_install: what a reader has to do when it is missing.
    """

    name: str
    uses_base: bool
    how_to_install: str

    def refuses(self, base: Path | None, new: Path) -> str | None:
        """Why it cannot do this pair at all, `None` where it can."""

    def version(self, cache: Path) -> str | None:
        """What results are kept under, `None` where it is not installed."""

    def interpreter(self, cache: Path) -> Path:
        """The Python that can load it."""

    def load(self, step: StepName) -> None:
        """Import what this step needs."""

    def make(self, base: Path | None, new: Path, patch: Path) -> int | None:
        """Write `patch`. The peak of resident bytes of a program that did it, `None` where this process did."""

    def apply(self, base: Path | None, patch: Path, out: Path) -> int | None:
        """Write `out` from `patch`; likewise."""


class PythonCodec:
    """What codecs that are Python packages have in common."""

    uses_base = True
    distribution: str

    how_to_install = "pip install 'smallfleet[peers]'"

    def refuses(self, base: Path | None, new: Path) -> str | None:
        return NEEDS_BASE if base is None else None

    def version(self, cache: Path) -> str | None:
        try:
            return distribution_version(self.distribution)
        except PackageNotFoundError:
            return None

    def interpreter(self, cache: Path) -> Path:
        return Path(sys.executable)


class ProgramCodec:
    """What codecs that are programs have in common."""

    uses_base = False
    program: str
    how_to_install: str
    version_arguments: tuple[str, ...] = ("--version",)

    def refuses(self, base: Path | None, new: Path) -> str | None:
        return NEEDS_BASE if self.uses_base and base is None else None

    def version(self, cache: Path) -> str | None:
        try:
            asked = subprocess.run([self.program, *self.version_arguments], capture_output=True, text=True, check=True)
        except FileNotFoundError:
            return None
        # xdelta3 answers on the error stream.
        found = re.search(r"\d+(\.\d+)+", asked.stdout or asked.stderr)
        return found and found[0]

    def interpreter(self, cache: Path) -> Path:
        return Path(sys.executable)

    def load(self, step: StepName) -> None:
        """Programs load themselves, and that is measured: it takes a few milliseconds."""


def held(base: Path | None) -> Path:
    """The base, for a codec that refused pairs without one.

    Raises:
        ValueError: there is none.
    """
    if base is None:
        raise ValueError(NEEDS_BASE)
    return base


def run_program(*command: str | Path) -> int:
    """Run to the end and return the peak of resident bytes (VmHWM), read every 2 ms: growth in the last 2 ms is missed.

    Never `ru_maxrss`, which a child inherits from its parent through exec.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    peak_bytes = 0
    with subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as child:
        status = Path(f"/proc/{child.pid}/status")
        while child.poll() is None:
            peak_bytes = max(peak_bytes, _high_water_mark(status))
            time.sleep(POLL_S)
        errors = child.stderr.read().decode(errors="replace") if child.stderr else ""
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, child.args, stderr=errors)
    return peak_bytes


def _high_water_mark(status: Path) -> int:
    # A process that just ended has no memory any more, and its status no such line.
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)
