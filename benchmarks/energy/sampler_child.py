"""The sampling process: bare Python that reads one power sensor until its standard input ends, then hands over what it read.

It reads at a random moment of every period, so that a loop of the same period cannot hide from it. Only `sampler` starts it.
"""

import contextlib
import json
import os
import random
import select
import sys
import time
from array import array
from collections.abc import Sequence
from pathlib import Path

from benchmarks.energy.finding import find_meter
from benchmarks.energy.integral import MOST_WATTS
from benchmarks.energy.meter import EnergyMeter, EnergyUnreadable
from benchmarks.energy.sampler import READY
from benchmarks.report import Absent


def main() -> None:
    """Sample until standard input ends, then write what was found."""
    order = json.loads(sys.argv[1])
    meter = find_meter(longest_window_s=order["longest_window_s"], root=Path(order["root"]))
    if isinstance(meter, Absent) or meter.source.detail != order["detail"]:
        return
    _move_away_from(order["avoid"])
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    samples, last_failure = _sample(meter, order["period_s"])
    sys.stdout.buffer.write(json.dumps({"last_failure": last_failure}).encode() + b"\n" + samples.tobytes())


def _move_away_from(cpus: Sequence[int]) -> None:
    """Run on other CPUs than the measured ones, where there are any."""
    others = set(range(os.cpu_count() or 1)) - set(cpus)
    # Where there are none, or none that this cgroup may use, the sampler stays, and the report's CPU share tells.
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, others)


def _sample(meter: EnergyMeter, period_s: float) -> tuple["array[int]", str | None]:
    """Moments and microwatts by turns, and why the last failed sample failed."""
    somewhere = random.Random(0)  # noqa: S311 - moments, no secrets
    samples, last_failure = array("q"), None
    cell = time.perf_counter()
    while True:
        wait_s = cell + period_s * somewhere.random() - time.perf_counter()
        if select.select([sys.stdin], [], [], max(0.0, wait_s))[0]:
            return samples, last_failure
        before = time.perf_counter_ns()
        try:
            microwatts = _plausible(sum(meter.read()))
        except EnergyUnreadable as error:
            last_failure = str(error)
        else:
            samples.extend(((before + time.perf_counter_ns()) // 2, microwatts))
        # A reading that took longer than a period has missed the cells that passed meanwhile.
        now = time.perf_counter()
        cell += period_s * max(1, int((now - cell) / period_s))


def _plausible(microwatts: int) -> int:
    if abs(microwatts) > MOST_WATTS * 1e6:
        raise EnergyUnreadable(f"the sensor showed {microwatts / 1e6:g} W")
    return microwatts


if __name__ == "__main__":
    main()
