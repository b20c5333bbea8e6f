"""Measures one codec on one pair: make, apply, compare. Each step is a fresh child on one core, in a memory-backed folder."""

import contextlib
import filecmp
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from benchmarks.peers.codecs import Codec
from benchmarks.peers.pairs import Pair

REPOSITORY = Path(__file__).parents[2]
MEMORY_BACKED = Path("/dev/shm")  # noqa: S108 - a private folder is made in it
# Applying takes milliseconds; the least disturbed of a few tells more than one.
APPLY_RUNS = 3


class State(StrEnum):
    """What became of a measurement."""

    MEASURED = "measured"
    NOT_INSTALLED = "not installed"
    NOT_APPLICABLE = "not applicable"
    TIMED_OUT = "timed out"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Step:
    """Seconds by the wall and of the processor, user and system, and resident bytes.

    `rest_bytes` were resident before the step began (interpreter and libraries), `peak_bytes` at the most. A program's
    rest is 0: what it loads is its own.
    """

    wall_s: float
    cpu_s: float
    peak_bytes: int
    rest_bytes: int

    @property
    def growth_bytes(self) -> int:
        """What the work itself took."""
        return self.peak_bytes - self.rest_bytes


@dataclass(frozen=True, slots=True)
class Result:
    """`patch_bytes`, `make` and `apply` are there when measured; `reason` says why not otherwise."""

    state: State
    patch_bytes: int = 0
    make: Step | None = None
    apply: Step | None = None
    reason: str = ""


class StepFailedError(Exception):
    """A child ended with an error; the message is the last line it wrote."""


def measure(codec: Codec, pair: Pair, *, cache: Path, timeout_s: float) -> Result:
    """One result, with its round trip verified.

    A codec that does not restore the file, or fails, is a `FAILED` result and not an error: the other rows count.
    """
    interpreter = codec.interpreter(cache)
    base = pair.base if codec.uses_base else None
    with tempfile.TemporaryDirectory(dir=MEMORY_BACKED if MEMORY_BACKED.is_dir() else None) as folder:
        patch, out = Path(folder) / "patch", Path(folder) / "out"
        try:
            making = {
                "codec": codec.name,
                "base": _text(base),
                "step": "make",
                "source": str(pair.new),
                "target": str(patch),
            }
            applying = {**making, "step": "apply", "source": str(patch), "target": str(out)}
            made = _ask(interpreter, {**making, "runs": 1}, timeout_s)
            applied = _ask(interpreter, {**applying, "runs": APPLY_RUNS}, timeout_s)
        except subprocess.TimeoutExpired:
            return Result(State.TIMED_OUT, reason=f"over {timeout_s:g} s")
        except StepFailedError as error:
            return Result(State.FAILED, reason=str(error))
        if not filecmp.cmp(pair.new, out, shallow=False):
            return Result(State.FAILED, reason="does not restore the file")
        return Result(State.MEASURED, patch.stat().st_size, made, applied)


def idle_peak_bytes() -> int:
    """The peak of a bare numpy process, resident."""
    return _ask(Path(sys.executable), {"codec": None}, 60.0).peak_bytes


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _ask(interpreter: Path, request: Mapping[str, object], timeout_s: float) -> Step:
    # Pools of threads would share the one core and only add memory.
    pools = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with subprocess.Popen(
        [interpreter, "-m", "benchmarks.peers.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **pools, "PYTHONPATH": str(REPOSITORY)},
        start_new_session=True,
    ) as child:
        try:
            answer, errors = child.communicate(json.dumps(request), timeout_s)
        finally:
            # A program that the child runs must not outlive it either.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
    if child.returncode:
        raise StepFailedError((errors.strip().splitlines() or [f"exit code {child.returncode}"])[-1])
    figures: dict[str, Any] = json.loads(answer.splitlines()[-1])
    return Step(**figures)
