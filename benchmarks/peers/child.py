"""One step of one codec in a fresh process on one core: `python -m benchmarks.peers.child`, a JSON request on standard input.

It must run under other interpreters too (a peer's own environment), so it imports nothing but the standard library and the
codec that is asked for.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.memory import PhaseMeter
from benchmarks.peers.codecs import CODECS
from benchmarks.report import Absent

Work = Callable[[Path | None, Path, Path], int | None]


class Run(NamedTuple):
    """Processor seconds, seconds by the wall, and the peak of a program that did the work."""

    cpu_s: float
    wall_s: float
    program_peak_bytes: int | None


def main() -> None:
    """Answer one request: `{"codec", "step", "base", "source", "target", "runs"}`; with `{"codec": null}` import numpy and stop.

    The least disturbed of the runs counts; the peak is that of the first.
    """
    request = json.load(sys.stdin)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    print(json.dumps(_idle() if request["codec"] is None else _step(request)))


def _step(request: dict[str, Any]) -> dict[str, Any]:
    codec = CODECS[request["codec"]]
    work = codec.make if request["step"] == "make" else codec.apply
    base = Path(request["base"]) if request["base"] else None
    codec.load(request["step"])
    meter = PhaseMeter()
    rest_bytes = _present(meter.end_phase().rss_bytes)
    files = (base, Path(request["source"]), Path(request["target"]))
    first = _timed(work, *files)
    peak_bytes = _present(meter.end_phase().peak_bytes)
    if first.program_peak_bytes is not None:
        peak_bytes, rest_bytes = first.program_peak_bytes, 0
    runs = [first, *(_timed(work, *files) for _ in range(request["runs"] - 1))]
    best = min(runs, key=lambda run: run.cpu_s)
    return {"wall_s": best.wall_s, "cpu_s": best.cpu_s, "peak_bytes": peak_bytes, "rest_bytes": rest_bytes}


def _timed(work: Work, base: Path | None, source: Path, target: Path) -> Run:
    cpu_started_s, started_s = _cpu_s(), time.perf_counter()
    program_peak_bytes = work(base, source, target)
    return Run(_cpu_s() - cpu_started_s, time.perf_counter() - started_s, program_peak_bytes)


def _idle() -> dict[str, Any]:
    """The peak of a process that imported numpy and did nothing, which is what a decoder's memory is compared with."""
    meter = PhaseMeter()
    import numpy as np

    np.zeros(1)
    phase = meter.end_phase()
    return {
        "wall_s": 0.0,
        "cpu_s": 0.0,
        "peak_bytes": _present(phase.peak_bytes),
        "rest_bytes": _present(phase.rss_bytes),
    }


def _cpu_s() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _present(value: int | Absent) -> int:
    if isinstance(value, Absent):
        raise OSError(value.reason)
    return value


if __name__ == "__main__":
    main()
