"""Does a report say when its machine was shared? `python -m benchmarks.load.contention`.

Reports of a quiet machine, which must come out valid, and as many beside two busy loops, which must come out invalid. The loops are processes of
this command; they end by themselves after a bounded time, and are ended with each report. What else runs on the machine is not touched, so the load
average before each report is shown: a quiet report of a busy machine is rightly invalid.
"""

import argparse
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.runner import run_benchmark
from benchmarks.tiers import TIER_NAMES, Tier

MODEL = Path(__file__).parents[2] / "client" / "demo_data" / "digits-1.0.0-fp32.onnx"
LOOPS = 2
_TIMEOUT_S = 120.0
_KINDS = {"quiet": False, "contended": True}
# A loop outlives the report it disturbs, and not much more, whatever happens to this process.
_LOOP_S = 300
_LOOP = f"import time\nend = time.monotonic() + {_LOOP_S}\nwhile time.monotonic() < end: pass"


@dataclass(frozen=True, slots=True)
class Trial:
    """One report and what surrounded it."""

    contended: bool
    load_before: float
    report: Mapping[str, Any]

    @property
    def is_right(self) -> bool:
        """Valid when it was quiet, invalid when it was not."""
        return bool(self.report["validity"]["state"] == ("invalid" if self.contended else "valid"))


@contextlib.contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """So many processes that do nothing but compute, as long as the context lasts."""
    loops = [subprocess.Popen([sys.executable, "-c", _LOOP]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def run_trials(
    model: Path, *, kinds: Sequence[bool], trials: int, tier: Tier, processes: int | None
) -> Iterator[Trial]:
    """Quiet and contended reports in turn, so that a change of the machine meets both."""
    for _ in range(trials):
        for contended in kinds:
            load_before = os.getloadavg()[0]
            with busy_loops(LOOPS if contended else 0):
                report = run_benchmark(model, tier=tier, processes=processes, timeout_s=_TIMEOUT_S)
            yield Trial(contended, load_before, report)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where a report came out otherwise than it must."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load.contention", description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--trials", type=int, default=10, metavar="N", help="reports of each kind (%(default)s)")
    parser.add_argument("--tier", choices=TIER_NAMES, default="rapid")
    parser.add_argument("--processes", type=int, default=3, metavar="N", help="of each report (%(default)s)")
    parser.add_argument("--only", choices=_KINDS, help="reports of one kind")
    args = parser.parse_args(arguments)
    kinds = [_KINDS[args.only]] if args.only else list(_KINDS.values())
    print("| machine | load before | p50 | cpu_share | run_delay | psi | state | rules that do not hold |")
    print("|---|---|---|---|---|---|---|---|")
    done = []
    for trial in run_trials(args.model, kinds=kinds, trials=args.trials, tier=args.tier, processes=args.processes):
        print(row(trial), flush=True)
        done.append(trial)
    for contended in kinds:
        of_kind = [trial for trial in done if trial.contended == contended]
        right = sum(trial.is_right for trial in of_kind)
        kind, wanted = ("contended", "invalid") if contended else ("quiet", "valid")
        print(f"\n{kind}: {right} of {len(of_kind)} reports are {wanted}")
    return 0 if all(trial.is_right for trial in done) else 1


def row(trial: Trial) -> str:
    """One line of the table."""
    report = trial.report
    contention = report["contention"]
    waited, pressure = (contention[f"{name}_share"] for name in ("run_delay", "psi_some"))
    failed = [flag["id"] for flag in report["validity"]["flags"] if flag["ok"] is False]
    cells = (
        f"{LOOPS} busy loops" if trial.contended else "quiet",
        f"{trial.load_before:.2f}",
        f"{report['latency']['p50'] / 1000:.1f} us",
        f"{contention['cpu_share']:.3f}",
        *("unknown" if share is None else f"{share:.3f}" for share in (waited, pressure)),
        report["validity"]["state"],
        ", ".join(failed) or "none",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    raise SystemExit(main())
