"""Sampling a power sensor beside a run that it must not disturb: a small process of its own, on CPUs that are not measured.

A thread would share the interpreter's lock and its CPU time with the timed loop (docs/decisions has what either costs). The process keeps
the samples to itself until the end, and ends with its standard input, so it never outlives whoever started it.
"""

import contextlib
import json
import subprocess
import sys
from array import array
from collections.abc import Sequence
from pathlib import Path

from benchmarks.energy.integral import PowerSeries
from benchmarks.energy.meter import EnergyUnreadable, Source

READY = b"ready\n"
# At least twice per interval of the sensor, but never faster: 200 readings a second cost about 1 % of another core.
_SHORTEST_PERIOD_S = 0.005
_END_WAIT_S = 10.0
_SAMPLE_BYTES = 16  # a moment and a power, 64 bits each


def period_of(interval_s: float) -> float:
    """Seconds between samples of a sensor that renews its reading every `interval_s`."""
    return max(interval_s / 2, _SHORTEST_PERIOD_S)


class Sampler:
    """The sampling process, from the side of whoever wants the samples."""

    def __init__(self, source: Source, *, longest_window_s: float, root: Path, avoid: Sequence[int]) -> None:
        """Start sampling, and return when the first sample is about to be taken.

        Raises:
            EnergyUnreadable: the process did not start, or did not find the sensor.
        """
        self._period_s = period_of(source.interval_s or 0.0)
        order = {
            "root": str(root),
            "longest_window_s": longest_window_s,
            "detail": source.detail,
            "period_s": self._period_s,
            "avoid": list(avoid),
        }
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "benchmarks.energy.sampler_child", json.dumps(order)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        except OSError as error:
            raise EnergyUnreadable(f"no sampler could be started: {error.strerror}") from error
        answers = self._process.stdout
        if answers is None or answers.readline() != READY:
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
        numbers.frombytes(body[: len(body) // _SAMPLE_BYTES * _SAMPLE_BYTES])
        return PowerSeries(numbers[::2], numbers[1::2], self._period_s, json.loads(head)["last_failure"])
