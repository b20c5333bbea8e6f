"""The ruler against a loop written by hand and against MLPerf LoadGen: `python -m benchmarks.peers.ruler`.

Same model, same session, many rounds in which each harness takes its turn. What counts is the ratio of medians in a round, over all rounds; and that
our bound on the p90 is LoadGen's on the same samples. LoadGen lives in an environment of its own: `python -m benchmarks.peers environments`.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.peers.folders import default_cache, environments_folder
from benchmarks.peers.measuring import REPOSITORY
from benchmarks.statistics import median_interval

ENVIRONMENT = "loadgen"
LOADGEN = "mlcommons_loadgen==6.0.17"
LEAST_ROUNDS = 10
# The 95 % interval of the ratio must lie within this distance of 1.
GOAL = 0.01
# The ratio in parts per million, so that order statistics of integers serve.
_PPM = 1_000_000


def requirements() -> tuple[str, ...]:
    """What LoadGen's environment needs: LoadGen, and the runtime that is measured with here."""
    ours = ("onnxruntime", "numpy")
    return (LOADGEN, *(f"{name}=={metadata.version(name)}" for name in ours))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where the goal is missed, 2 where LoadGen is not installed."""
    args = _parser().parse_args(arguments)
    interpreter = environments_folder(args.cache) / ENVIRONMENT / "bin" / "python"
    if not interpreter.exists():
        print("LoadGen is not installed: python -m benchmarks.peers environments", file=sys.stderr)
        return 2
    request = {
        "model": str((args.model or _squeezenet()).absolute()),
        "rounds": args.rounds,
        "seconds": args.seconds,
        "bound_runs": args.bound_runs,
        "realtime": args.realtime,
    }
    load_before = os.getloadavg()[0]
    answer = _ask(interpreter, request)
    print(markdown(answer, name=Path(request["model"]).name, seconds=args.seconds, load=load_before))
    return 0 if _is_met(answer) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.ruler", description=__doc__)
    parser.add_argument("--model", type=Path, help="an ONNX file (SqueezeNet out of the onnx package)")
    parser.add_argument("--rounds", type=_rounds, default=60, metavar="N", help="rounds (%(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=0.5, metavar="S", help="of each harness in a round (%(default)s)"
    )
    parser.add_argument(
        "--bound-runs", type=int, default=10, metavar="N", help="runs to compare bounds on (%(default)s)"
    )
    parser.add_argument(
        "--realtime",
        action="store_true",
        help="run before everything else on its core (SCHED_FIFO, for root), where a machine does other work too",
    )
    parser.add_argument("--cache", type=Path, default=default_cache(), help="where environments are kept (%(default)s)")
    return parser


def _rounds(text: str) -> int:
    rounds = int(text)
    if rounds < LEAST_ROUNDS:
        raise argparse.ArgumentTypeError(f"an interval of the median needs at least {LEAST_ROUNDS} rounds, not {text}")
    return rounds


def _squeezenet() -> Path:
    import onnx

    return Path(onnx.__file__).parent / "backend/test/data/light/light_squeezenet.onnx"


def _ask(interpreter: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    # Pools of threads would share the one core.
    pools = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with subprocess.Popen(
        [interpreter, "-m", "benchmarks.peers.ruler_child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **pools, "PYTHONPATH": str(REPOSITORY)},
        start_new_session=True,
    ) as child:
        try:
            said, _ = child.communicate(json.dumps(request))
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
    if child.returncode:
        raise SystemExit(f"the measuring process ended with {child.returncode}")
    answer: dict[str, Any] = json.loads(said.splitlines()[-1])
    return answer


def ratios(answer: Mapping[str, Any], harness: str) -> tuple[float, float, float]:
    """The median over rounds of ruler over harness, and its 95 % interval from order statistics."""
    ordered = sorted(round(_PPM * one["ruler"] / one[harness]) for one in answer["rounds"])
    interval = median_interval(ordered)
    if interval is None:
        raise ValueError(f"{len(ordered)} rounds are too few for an interval")
    low, high = interval
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    return middle / _PPM, low / _PPM, high / _PPM


def _is_met(answer: Mapping[str, Any]) -> bool:
    inside = all(
        low >= 1 - GOAL and high <= 1 + GOAL for _, low, high in (ratios(answer, name) for name in ("naive", "loadgen"))
    )
    return inside and all(one["loadgen_ns"] == one["ours_ns"] for one in answer["bounds"])


def markdown(answer: Mapping[str, Any], *, name: str, seconds: float, load: float) -> str:
    """The comparison as tables."""
    rounds, bounds = answer["rounds"], answer["bounds"]
    lines = [
        f"{name}, one pinned thread, one session, {len(rounds)} rounds of {seconds:g} s for each harness, load average before {load:.1f}",
        "",
        "| median latency of the ruler over that of | ratio | 95 % interval | inside 1 % |",
        "|---|---|---|---|",
    ]
    for harness, title in (("naive", "a loop with perf_counter"), ("loadgen", f"LoadGen SingleStream ({LOADGEN})")):
        ratio, low, high = ratios(answer, harness)
        verdict = "yes" if low >= 1 - GOAL and high <= 1 + GOAL else "NO"
        lines.append(f"| {title} | {ratio:.4f} | {low:.4f} to {high:.4f} | {verdict} |")
    equal = sum(one["loadgen_ns"] == one["ours_ns"] for one in bounds)
    samples = sorted(one["n"] for one in bounds)
    return "\n".join(
        [
            *lines,
            "",
            f"p90 bound (99 % confidence) of ours and of LoadGen on the latencies of its trace: equal in {equal} of {len(bounds)} runs"
            + (f" of {samples[0]} to {samples[-1]} queries" if samples else ""),
        ]
    )


if __name__ == "__main__":
    raise SystemExit(main())
