"""Sampling a power sensor beside a run that it must not disturb: a small process of its own, on CPUs that are not measured.

A thread would share the interpreter's lock and its CPU time with the timed loop. The process is bare Python, reads its sensor at a random
moment of every period (so that a loop of the same period cannot hide from it), keeps the samples to itself, and hands them over at the
end. It ends with its standard input, so it never outlives whoever started it.

    python -m benchmarks.energy.sampler '{"root": "/", "detail": "ina3221:VDD_IN", "period_s": 0.05, ...}'
"""

import contextlib
import json
import os
import random
import select
import subprocess
import sys
import time
from array import array
from collections.abc import Sequence
from pathlib import Path

from benchmarks.energy.finding import find_meter
from benchmarks.energy.integral import MOST_WATTS, PowerSeries
from benchmarks.energy.meter import EnergyMeter, EnergyUnreadable, Source
from benchmarks.report import Absent

_READY = b"ready\n"
# At least twice per interval of the sensor, but never faster: 200 readings a second cost about 1 % of another core.
_SHORTEST_PERIOD_S = 0.005
_END_WAIT_S = 10.0


def period_of(interval_s: float) -> float:
    """Seconds between samples of a sensor that renews its reading every `interval_s`."""
    return max(interval_s / 2, _SHORTEST_PERIOD_S)


class Sampler:
    """The sampling process, from the side of whoever wants the samples."""

    def __init__(self, source: Source, *, longest_window_s: float, root: Path, avoid: Sequence[int]) -> None:
        """Start sampling, and return when the first sample is about to be taken.

        Raises:
            EnergyUnreadable: the process did not find the sensor.
        """
        self._period_s = period_of(source.interval_s or 0.0)
        order = {
            "root": str(root),
            "longest_window_s": longest_window_s,
            "detail": source.detail,
            "period_s": self._period_s,
            "avoid": list(avoid),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "benchmarks.energy.sampler", json.dumps(order)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        answers = self._process.stdout
        if answers is None or answers.readline() != _READY:
            self.stop()
            raise EnergyUnreadable(f"the sampler found no {source.method} {source.detail}")

    def stop(self) -> PowerSeries:
        """End the process and take its samples."""
        try:
            answer, _ = self._process.communicate(timeout=_END_WAIT_S)
        except subprocess.TimeoutExpired:  # a sensor whose driver hangs
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_WAIT_S)
            answer = b""
        head, _, body = answer.partition(b"\n")
        if not head:
            return PowerSeries([], [], self._period_s, "the sampler ended without an answer")
        numbers = array("q")
        numbers.frombytes(body)
        return PowerSeries(numbers[::2], numbers[1::2], self._period_s, json.loads(head)["last_failure"])


def main() -> None:
    """Sample until standard input ends, then write what was found."""
    order = json.loads(sys.argv[1])
    meter = find_meter(longest_window_s=order["longest_window_s"], root=Path(order["root"]))
    if isinstance(meter, Absent) or meter.source.detail != order["detail"]:
        return
    _move_away_from(order["avoid"])
    sys.stdout.buffer.write(_READY)
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
