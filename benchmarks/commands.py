"""Measure one ONNX model on this machine: latency, cold start, memory, CPU time, energy, and accuracy where samples are given.

The model runs in a child process of its own, single stream, batch 1. Without --json a table is printed; with it, the
whole report (bench-report/1) and nothing else.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.configurations import (
    CONFIGURATION_NAMES,
    CONFIGURATIONS,
    DEFAULT_PROVIDERS,
    Configuration,
    ConfigurationName,
)
from benchmarks.errors import BenchmarkError, RequestInvalid, RuntimeMissing, error_classes
from benchmarks.runner import run_benchmark
from benchmarks.side_by_side import ROUNDS, as_json, candidates_of, comparisons_of, lines, measure_by_turns
from benchmarks.table import table
from benchmarks.tiers import TIER_NAMES, TIERS, Tier

EPILOG = "\n".join(
    [
        "tiers (processes, and the least queries and seconds of each):",
        *(
            f"  {plan.name:8} {plan.processes}  {plan.min_queries:5}  {plan.min_duration_s:4g} s"
            for plan in TIERS.values()
        ),
        "",
        "exit codes:",
        "    0  done, whatever the report's validity says",
        *(f"  {cls.exit_code:3}  {cls.title[0].lower()}{cls.title[1:]}" for cls in error_classes().values()),
    ]
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("model", metavar="MODEL.onnx", type=Path)
    parser.add_argument(
        "--compare",
        metavar="OTHER.onnx",
        type=Path,
        nargs="+",
        default=[],
        help="measure these models too, by turns, and say where MACs, bytes and picojoules prefer another one than the "
        f"measurement does (needs onnx; {ROUNDS} processes of each without --processes)",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--tier", choices=TIER_NAMES, default="rapid", help="how long to measure (default: rapid)")
    parser.add_argument("--samples", metavar="S.npz", type=Path, help="inputs, golden outputs and labels to use")
    parser.add_argument(
        "--shape", metavar="NAME=1,2,3", type=_shape, action="append", default=[], help="shape of an input; repeatable"
    )
    parser.add_argument(
        "--configuration",
        choices=CONFIGURATION_NAMES,
        default="canonical",
        help="one pinned thread, which compares over a fleet, or what the runtime chooses (default: canonical)",
    )
    parser.add_argument("--threads", metavar="N", type=_positive_int, help="other threads than the configuration's")
    parser.add_argument("--no-pin", action="store_true", help="let the system move the process between CPUs")
    parser.add_argument(
        "--provider",
        metavar="NAME",
        action="append",
        help=f"execution provider, first choice first; repeatable (default: {', '.join(DEFAULT_PROVIDERS)})",
    )
    parser.add_argument(
        "--processes", metavar="N", type=_positive_int, help="fresh processes to repeat the run in (default: by tier)"
    )
    parser.add_argument(
        "--watts",
        metavar="W",
        type=_positive,
        help="watts of one busy core of this kind of device, where it has no meter (docs/energy.md has how to calibrate)",
    )
    parser.add_argument("--static", action="store_true", help="count MACs and bytes from the graph too (needs onnx)")
    parser.add_argument("--device-class", metavar="NAME", help="what to call this kind of device in the report")
    parser.add_argument(
        "--timeout", metavar="S", type=_positive, help="give up after S seconds of one process (default: by tier)"
    )
    parser.add_argument("--memory-limit-mib", metavar="MIB", type=_positive_int, help="bound on the child's memory")


def run(args: argparse.Namespace) -> int:
    """Benchmark and print; the exit code. What goes wrong is one line on standard error."""
    models = [args.model, *args.compare]
    try:
        _refuse_twice(models)
        answer, readable = _compared(args, models) if args.compare else _measured(args)
    except BenchmarkError as error:
        print(f"{', '.join(model.name for model in models)}: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(answer) if args.json else "\n".join(readable))
    return 0


def _refuse_twice(models: Sequence[Path]) -> None:
    if len({model.resolve() for model in models}) < len(models):
        raise RequestInvalid("--compare compares different files; one is given twice")


def _measured(args: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """The report, and the same for a person."""
    artifact = _static(args.model, args.shape) if args.static else None
    report = _measure(args, args.model, artifact, processes=args.processes)
    return report, table(report, args.model.name)


def _compared(args: argparse.Namespace, models: Sequence[Path]) -> tuple[dict[str, Any], list[str]]:
    """The reports of all models and the verdicts, and the same for a person."""
    artifacts = {model: _static(model, args.shape) for model in models}
    reports = measure_by_turns(
        models,
        lambda model: _measure(args, model, artifacts[model], processes=1),
        rounds=args.processes or ROUNDS,
    )
    candidates = candidates_of(reports)
    comparisons = comparisons_of(candidates)
    return as_json(reports, comparisons), list(lines(reports, candidates, comparisons))


def _measure(
    args: argparse.Namespace, model: Path, artifact: Mapping[str, Any] | None, *, processes: int | None
) -> dict[str, Any]:
    tier: Tier = args.tier
    return run_benchmark(
        model,
        tier=tier,
        samples=args.samples,
        shapes=dict(args.shape),
        configuration=_configuration(args),
        providers=tuple(args.provider or DEFAULT_PROVIDERS),
        processes=processes,
        timeout_s=args.timeout or TIERS[tier].patience_s,
        memory_limit_bytes=args.memory_limit_mib and args.memory_limit_mib * 2**20,
        watts=args.watts,
        artifact=artifact,
        device_class=args.device_class,
    )


def _configuration(args: argparse.Namespace) -> Configuration:
    """The named configuration, or a person's own: then it is called `custom`, since its figures compare with no other's."""
    name: ConfigurationName = args.configuration
    named = CONFIGURATIONS[name]
    wanted = replace(
        named,
        intra_op=named.intra_op if args.threads is None else args.threads,
        pinned=named.pinned and not args.no_pin,
    )
    return named if wanted == named else replace(wanted, name="custom")


def _static(model: Path, shapes: Sequence[tuple[str, tuple[int, ...]]]) -> dict[str, Any]:
    try:
        from benchmarks.static_cost import count_static_cost
    except ModuleNotFoundError as error:
        raise RuntimeMissing(f"counting a graph needs {error.name}: pip install 'smallfleet[server]'") from error
    return count_static_cost(model, shapes=dict(shapes)).as_artifact()


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, dims = text.rpartition("=")
    try:
        shape = tuple(int(dim) for dim in dims.split(",") if dim)
    except ValueError:
        shape = (-1,)
    if not name or any(dim < 0 for dim in shape):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=1,2,3")
    return name, shape


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def _positive_int(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return value
