"""One model in one session, measured by three harnesses in turn: `python -m benchmarks.peers.ruler_child`, a JSON request on standard input.

It runs under the interpreter of LoadGen's environment and imports of ours only what the harness is made of. One process and one session for all
three, because between processes the median moves more (1.1 %) than the harnesses differ.
"""

import json
import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlperf_loadgen as loadgen

from benchmarks import affinity, session
from benchmarks.evidence import EvidenceLog
from benchmarks.measure import inference_of
from benchmarks.statistics import early_stopping_upper_bound, percentile
from benchmarks.tiers import TIERS
from benchmarks.timing import run_windows, warm_up

Infer = Callable[[int], object]
_WARM = replace(TIERS["smoke"], warmup_s=1.0)
_MLLOG = ":::MLLOG "


def main() -> None:
    """Answer one request: `{"model", "rounds", "seconds", "bound_runs", "realtime"}`."""
    request = json.load(sys.stdin)
    cpus = affinity.pin(1)
    if request["realtime"]:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    model = session.open_model(request["model"])
    feeds = session.random_feeds(model, session.bind_shapes(model, {}), seed=0)
    infer = inference_of(model, [feeds])
    warm_up(infer, _WARM)
    seconds = request["seconds"]
    harnesses: dict[str, Callable[[], int]] = {
        "ruler": lambda: _by_ruler(infer, seconds, cpus),
        "naive": lambda: _by_loop(model, feeds, seconds),
        "loadgen": lambda: _by_loadgen(infer, seconds)["result_50.00_percentile_latency_ns"],
    }
    rounds = []
    for number in range(request["rounds"]):
        # Each harness is as often before as after each other, so a machine that slows down slows them all.
        names = list(harnesses) if number % 2 else list(reversed(harnesses))
        rounds.append({name: harnesses[name]() for name in names})
    bounds = [_bounds(infer, seconds) for _ in range(request["bound_runs"])]
    print(json.dumps({"rounds": rounds, "bounds": bounds}))


def _by_ruler(infer: Infer, seconds: float, cpus: list[int]) -> int:
    """The ruler's own loop, with what it reads at window edges."""
    plan = replace(TIERS["smoke"], min_duration_s=seconds, windows=1)
    (window,) = run_windows(infer, plan, EvidenceLog(cpus=cpus).at_edge)
    return percentile(sorted(window.latencies_ns), 0.5)


def _by_loop(model: session.Model, feeds: dict[str, Any], seconds: float) -> int:
    """What people write by hand."""
    latencies = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = time.perf_counter_ns()
        model.session.run(None, feeds)
        latencies.append(time.perf_counter_ns() - started)
    return percentile(sorted(latencies), 0.5)


def _bounds(infer: Infer, seconds: float) -> dict[str, int | None]:
    """LoadGen's bound on the p90, and ours on the latencies that its trace has."""
    with TemporaryDirectory() as folder:
        said = _by_loadgen(infer, seconds, folder=Path(folder), trace=True)
        latencies = sorted(_traced(Path(folder) / "mlperf_log_trace.json"))
    return {
        "n": len(latencies),
        "loadgen_ns": said["early_stopping_latency_ss"],
        "ours_ns": early_stopping_upper_bound(latencies, 0.9),
    }


def _traced(trace: Path) -> list[int]:
    """`complete_ns` of every sample. Line by line: other lines of the trace are no JSON."""
    lines = trace.read_text(encoding="utf-8").splitlines()
    samples = [
        json.loads(line.rstrip(",")) for line in lines if line.startswith('{"name":"Sample"') and '"ph":"b"' in line
    ]
    return [sample["args"]["complete_ns"] - sample["args"]["issue_start_ns"] for sample in samples]


def _by_loadgen(infer: Infer, seconds: float, *, folder: Path | None = None, trace: bool = False) -> dict[str, Any]:
    """LoadGen's SingleStream: its results by name, out of its own log."""
    if folder is None:
        with TemporaryDirectory() as own:
            return _by_loadgen(infer, seconds, folder=Path(own), trace=trace)
    _start_test(infer, _settings(infer, seconds), _log_settings(folder, trace=trace))
    entries = (folder / "mlperf_log_detail.txt").read_text(encoding="utf-8").splitlines()
    said = [json.loads(line.partition(_MLLOG)[2]) for line in entries if _MLLOG in line]
    return {entry["key"]: entry["value"] for entry in said}


def _start_test(infer: Infer, settings: Any, log_settings: Any) -> None:
    def issue(queries: Any) -> None:
        for query in queries:
            infer(0)
            loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(query.id, 0, 0)])

    system = loadgen.ConstructSUT(issue, lambda: None)
    library = loadgen.ConstructQSL(1, 1, lambda _: None, lambda _: None)
    try:
        loadgen.StartTestWithLogSettings(system, library, settings, log_settings)
    finally:
        loadgen.DestroyQSL(library)
        loadgen.DestroySUT(system)


def _settings(infer: Infer, seconds: float) -> Any:
    started = time.perf_counter_ns()
    infer(0)
    settings = loadgen.TestSettings()
    settings.scenario = loadgen.TestScenario.SingleStream
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.min_duration_ms = math.ceil(seconds * 1000)
    settings.min_query_count = 64
    # Above the true latency LoadGen generates too few queries and calls the run invalid (mlcommons/inference issue 331).
    settings.single_stream_expected_latency_ns = max(1000, (time.perf_counter_ns() - started) // 4)
    return settings


def _log_settings(folder: Path, *, trace: bool) -> Any:
    output = loadgen.LogOutputSettings()
    output.outdir = str(folder)
    output.copy_summary_to_stdout = False
    settings = loadgen.LogSettings()
    settings.log_output = output
    settings.enable_trace = trace
    return settings


if __name__ == "__main__":
    main()
