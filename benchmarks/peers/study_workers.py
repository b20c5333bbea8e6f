"""Do two worker processes go through a study twice as fast as one? `python -m benchmarks.peers.study_workers`.

One grid of equal points is run by one worker and by two, by turns, each time from nothing; the figure is points per minute, counted from when every
worker has ended its first point, which holds the start of the process. Only on a quiet machine with two cores or more does it say something, so
the load before is printed with it. Ends with 1 where the goal is missed.
"""

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from compression.provenance import machine
from compression.study.run import run_study
from compression.study.spec import load_spec
from compression.study.storage import find_study, local_place, open_storage, points_of

GOAL = 1.7
SPEC = """
schema = "smallfleet-study/1"
name = "workers"
[benchmark]
data = "digits"
latency = "none"
[[objective]]
metric = "accuracy"
[[objective]]
metric = "size_bytes"
[space]
family = "convnet"
[space.net]
first = {{ low = 24, high = {high} }}
[training]
epochs = {epochs}
[search]
sampler = "grid"
"""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast some workers went."""

    workers: int
    points: int
    seconds: float

    @property
    def per_minute(self) -> float:
        """Points per minute."""
        return 60 * self.points / self.seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure by turns and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.study_workers", description=__doc__)
    parser.add_argument("--points", type=int, default=16, help="of each run (%(default)s)")
    parser.add_argument("--epochs", type=int, default=12, help="of each point (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each number of workers runs (%(default)s)")
    args = parser.parse_args(arguments)
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    print(f"{machine()}, {cores} cores, load before {load:.2f}", file=sys.stderr)
    paces: dict[int, list[Pace]] = {1: [], 2: []}
    for turn in range(args.rounds):
        for workers in (1, 2) if turn % 2 == 0 else (2, 1):
            pace = pace_of(workers, points=args.points, epochs=args.epochs)
            paces[workers].append(pace)
            print(f"{workers} workers: {pace.per_minute:.1f} points per minute", file=sys.stderr)
    one, two = (statistics.median(pace.per_minute for pace in paces[workers]) for workers in (1, 2))
    ratio = two / one
    print(
        f"one worker {one:.1f}, two {two:.1f} points per minute (medians of {args.rounds}): {ratio:.2f} x, wanted {GOAL} x"
    )
    if load > 0.2:
        print(f"the machine was not quiet (load {load:.2f}), so this says little", file=sys.stderr)
    return 0 if ratio >= GOAL else 1


def pace_of(workers: int, *, points: int, epochs: int) -> Pace:
    """Run the grid from nothing with so many workers."""
    with tempfile.TemporaryDirectory(prefix="smallfleet-workers-") as folder:
        out = Path(folder)
        spec = out / "spec.toml"
        spec.write_text(SPEC.format(high=24 + points - 1, epochs=epochs), encoding="utf-8")
        run_study(str(spec), local_place(out), out, workers=workers)
        study = find_study(load_spec(str(spec)).name, open_storage(local_place(out)))
        trials = sorted(points_of(study).values(), key=lambda trial: trial.number)
        begun = [trial.datetime_start for trial in trials if trial.datetime_start]
        ended = sorted(trial.datetime_complete for trial in trials if trial.datetime_complete)
        # From the moment when every worker is at work: the first ends of as many points as there are workers.
        start = ended[workers - 1]
        if len(begun) < len(trials) or ended[-1] <= start:
            raise RuntimeError(f"{len(trials)} points are too few to measure {workers} workers by")
        return Pace(workers, len(trials) - workers, (ended[-1] - start).total_seconds())


if __name__ == "__main__":
    raise SystemExit(main())
