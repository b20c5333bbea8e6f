"""What sampling a power sensor costs the latency that is measured beside it: no sampler, the ruler's process, and a thread, by turns.

    python -m benchmarks.load.energy_sampling MODEL.onnx [--rounds 15] [--seconds 2] [--interval-ms 10]

One process pinned to one CPU runs the model. The sensor is a cached file that is read as a shunt monitor's would be (a real one adds
its driver's wait on the I2C bus, in which neither thread nor process holds a lock or a CPU). Ratios are of neighbouring runs, so that what
else the machine does meets all three alike; each is given as the median over the rounds with its 95 % interval.
"""

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.affinity import pin
from benchmarks.energy import EnergyLog, EnergyMeter
from benchmarks.energy.sampler import period_of
from benchmarks.latency import pool
from benchmarks.report import Absent
from benchmarks.session import bind_shapes, open_model, random_feeds
from benchmarks.statistics import median_interval, percentile
from benchmarks.tiers import TIERS, TierPlan
from benchmarks.timing import run_windows, warm_up

ARMS = ("none", "process", "thread")
FIGURES = ("p50", "p90", "p99", "CPU time")


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--interval-ms", type=int, default=10)
    args = parser.parse_args()
    cpus = pin(1)
    model = open_model(str(args.model))
    feeds = random_feeds(model, bind_shapes(model, {}), seed=0)
    plan = replace(TIERS["smoke"], min_duration_s=args.seconds, energy_window_s=args.seconds)
    with tempfile.TemporaryDirectory() as folder:
        root = _sensor(Path(folder), args.interval_ms)
        bench = Bench(lambda _: model.run(feeds), plan, root, cpus)
        rounds = [bench.round(turn) for turn in range(args.rounds)]
    _print(rounds, period_of(args.interval_ms / 1000))
    return 0


def _sensor(root: Path, interval_ms: int) -> Path:
    folder = root / "sys/class/hwmon/hwmon0"
    folder.mkdir(parents=True)
    for name, text in {
        "name": "ina226",
        "label": "VIN",
        "power1_input": "3000000",
        "update_interval": interval_ms,
    }.items():
        (folder / name).write_text(f"{text}\n")
    return root


@dataclass(frozen=True, slots=True)
class Bench:
    """What every run of this command shares."""

    infer: Callable[[int], object]
    plan: TierPlan
    root: Path
    cpus: list[int]

    def round(self, turn: int) -> dict[str, tuple[float, ...]]:
        """One run per arm, in an order that rotates; its percentiles and CPU time in nanoseconds."""
        order = ARMS[turn % 3 :] + ARMS[: turn % 3]
        return {arm: self.run(arm) for arm in order}

    def run(self, arm: str) -> tuple[float, ...]:
        """One run."""
        log = EnergyLog(self.plan, root=self.root, avoid=self.cpus)
        if isinstance(log.meter, Absent):
            raise SystemExit(log.meter.reason)
        beside: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
        if arm == "process":
            beside = log
        elif arm == "thread":
            beside = _thread(log.meter)
        with beside:
            warm_up(self.infer, self.plan)
            windows = run_windows(self.infer, self.plan, log.at_edge)
        ordered = sorted(pool(windows))
        cpu = sum(window.cpu_ns for window in windows) / len(ordered)
        return (*(percentile(ordered, share) for share in (0.5, 0.9, 0.99)), cpu)


@contextlib.contextmanager
def _thread(meter: EnergyMeter) -> Iterator[None]:
    """The other design: a thread of the measuring process, on the CPUs that are not measured."""
    ended = threading.Event()
    others = set(range(os.cpu_count() or 1)) - os.sched_getaffinity(0)
    samples: list[tuple[int, ...]] = []

    def sample() -> None:
        with contextlib.suppress(OSError):  # a machine with one CPU
            os.sched_setaffinity(threading.get_native_id(), others)
        while not ended.wait(period_of(meter.source.interval_s or 0)):
            samples.append(meter.read())

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _print(rounds: list[dict[str, tuple[float, ...]]], period_s: float) -> None:
    print(f"{len(rounds)} rounds, a sample every {period_s * 1e3:g} ms\n")
    print("| beside the run | " + " | ".join(FIGURES) + " |")
    print("|---" * (1 + len(FIGURES)) + "|")
    plain = [statistics.median(found["none"][place] for found in rounds) for place in range(len(FIGURES))]
    print("| nothing | " + " | ".join(f"{value / 1e6:.3f} ms" for value in plain) + " |")
    for arm in ARMS[1:]:
        cells = []
        for place in range(len(FIGURES)):
            ratios = sorted(found[arm][place] / found["none"][place] for found in rounds)
            low, high = median_interval(ratios) or (ratios[0], ratios[-1])
            cells.append(f"{statistics.median(ratios):.4f} x ({low:.4f} to {high:.4f})")
        print(f"| {arm} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    sys.exit(main())
