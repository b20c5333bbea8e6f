"""Putting one process's finished run into the words of the report schema. Child side; `replication` makes the report of all processes."""

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from typing import Any

import onnxruntime

from benchmarks import environment, scoring, session
from benchmarks.energy.analytic import analytic_block
from benchmarks.latency import cpu_share, latency_block, steady_state_block
from benchmarks.measure import Run
from benchmarks.memory import Phase
from benchmarks.report import SCHEMA_ID, Absent, Maybe, settle
from benchmarks.validity import judge

RULER_VERSION = "1.1"
_PROFILED = Absent("needs a profiled run")
_NO_SAMPLES = Absent("no sample set was given")


def report_of(run: Run, request: Mapping[str, Any], *, started: float) -> dict[str, Any]:
    """The report of a run; `started` is the perf_counter when the child began, for the duration."""
    latency, steady = latency_block(run.windows), steady_state_block(run.windows, run.evidence)
    share, runtime = cpu_share(run.windows), _runtime(run)
    energy = run.energy.block(run.windows)
    about_device = environment.environment_block(
        run.before,
        device_class=request["device_class"],
        affinity=run.affinity,
        evidence=run.evidence,
        power=run.power,
    )
    tree: dict[str, Any] = {
        "schema": SCHEMA_ID,
        "run_id": str(uuid.uuid4()),
        "agent": _agent(),
        "ruler": {"version": RULER_VERSION},
        "started_at": run.started_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "clock": {"monotonic_source": "perf_counter", "resolution_ns": _clock_step_ns()},
        "artifact": _artifact(run, request["artifact"]),
        "runtime": runtime,
        "environment": about_device,
        "workload": _workload(run),
        "cold_start": asdict(run.cold),
        "latency": latency,
        "steady_state": steady,
        "contention": {
            "cpu_share": share,
            "involuntary_switches": run.involuntary_switches,
            "run_delay_share": run.evidence.wait_share(run.threads),
            "psi_some_share": run.evidence.pressure_share,
        },
        "throttling": run.evidence.throttling(),
        "memory": _memory(run),
        "energy": energy,
        "analytic": _analytic(request["artifact"]),
        "accuracy": _accuracy(run, request),
        "validity": judge(
            plan=run.plan,
            timed_s=run.timed_s,
            threads=run.threads,
            providers=runtime["providers_requested"],
            placed=runtime["nodes_per_provider"],
            latency=latency,
            steady=steady,
            share=share,
            evidence=run.evidence,
            power=run.power,
            energy=energy,
        ),
        "cost": {"disk_bytes": run.model_bytes},
    }
    tree["duration_s"] = round(time.perf_counter() - started, 3)
    return settle(tree)


def _agent() -> dict[str, Any]:
    try:
        distribution = metadata.distribution("smallfleet")
    except metadata.PackageNotFoundError:
        return {"version": Absent("the package is not installed")}
    # PEP 610: where a version says too little, because the installation came from a repository.
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    commit = origin.get("vcs_info", {}).get("commit_id")
    return {"version": distribution.version, **({"git_commit": commit} if commit else {})}


def _clock_step_ns() -> int:
    """The smallest step between two different readings of the clock that is used."""
    steps = []
    for _ in range(100):
        first = later = time.perf_counter_ns()
        while later == first:
            later = time.perf_counter_ns()
        steps.append(later - first)
    return min(steps)


def _artifact(run: Run, known: Mapping[str, Any] | None) -> dict[str, Any]:
    """The file as measured, and what the caller knows about it (`StaticCost.as_artifact`)."""
    unknown = Absent("the caller did not say")
    facts = known or {}
    stated = {key: _or(facts.get(key), unknown) for key in ("opset", "ir_version", "precision", "variant_of_sha256")}
    static = facts.get("static")
    return {
        "model_sha256": run.model_sha256,
        "bytes": run.model_bytes,
        **stated,
        "static": {key: _or(value, Absent("a shape could not be inferred")) for key, value in static.items()}
        if static
        else Absent("the caller gave no static cost"),
    }


def _or(value: Any, absent: Absent) -> Any:
    return absent if value is None else value


def _runtime(run: Run) -> dict[str, Any]:
    return {
        "name": "onnxruntime",
        "version": onnxruntime.__version__,
        "build_info": _build(onnxruntime.get_build_info()),
        "configuration": run.configuration.name,
        "pinned": run.configuration.pinned,
        "threads": run.threads,
        **session.options_of(run.model),
    }


def _build(text: str) -> str:
    """Which commit, and how it was built: `git-commit-id=fab30a4, build type=Release` out of what the runtime says of itself."""
    parts = text.removeprefix("ORT Build Info: ").split(", ")
    return ", ".join(part for part in parts if part.startswith(("git-commit-id", "build type"))) or text


def _workload(run: Run) -> dict[str, Any]:
    return {
        "scenario": "single_stream",
        "batch": 1,
        "input": run.workload.source,
        "input_shapes": {name: list(shape) for name, shape in run.workload.bound_shapes.items()},
        "inputs_in_cycle": len(run.workload.feeds),
        "warmup": {"n": run.warmup.n, "s": round(run.warmup.duration_s, 3)},
        "tier": run.plan.name,
        "n": run.n,
        "timed_s": round(run.timed_s, 3),
        "min_queries": run.plan.min_queries,
        "min_duration_s": run.plan.min_duration_s,
    }


def _memory(run: Run) -> dict[str, Any]:
    """Bytes by phase. `run_peak` is over first inference and warm-up, before the ruler's own store of latencies grows.

    `model_attributable_peak` is the higher of what loading and running added to the runtime, inputs taken out.
    """
    phases = run.phases
    pss, uss = run.pss_uss
    return {
        "method": run.phase_method,
        "baseline_rss": phases["baseline"].rss_bytes,
        "runtime_rss": phases["runtime"].rss_bytes,
        "load_peak": phases["load"].peak_bytes,
        "load_steady": phases["load"].rss_bytes,
        "inputs_rss": phases["inputs"].rss_bytes,
        "run_peak": phases["run"].peak_bytes,
        "timed_peak": phases["timed"].peak_bytes,
        "sample_store_bytes": 8 * run.n,
        "pss_end": pss,
        "uss_end": uss,
        "runtime_peak_activation": _PROFILED,
        "model_attributable_peak": _attributable(phases),
    }


def _attributable(phases: Mapping[str, Phase]) -> Maybe[int]:
    runtime, load, inputs, running = (phases[name] for name in ("runtime", "load", "inputs", "run"))
    figures = (runtime.rss_bytes, load.peak_bytes, load.rss_bytes, inputs.rss_bytes, running.peak_bytes)
    missing = next((figure for figure in figures if isinstance(figure, Absent)), None)
    if missing is not None:
        return missing
    base, load_peak, load_end, inputs_end, run_peak = (int(figure) for figure in figures)  # type: ignore[arg-type]
    return max(load_peak - base, run_peak - (inputs_end - load_end) - base)


def _analytic(artifact: Mapping[str, Any] | None) -> Any:
    static = (artifact or {}).get("static")
    return analytic_block(static) if static else Absent("the caller gave no static cost")


def _accuracy(run: Run, request: Mapping[str, Any]) -> Any:
    """Agreement with golden outputs and accuracy on labels, by the same session that was timed."""
    samples = run.workload.samples
    if samples is None:
        return _NO_SAMPLES
    figures = scoring.score(run.model, samples)
    unlabelled = Absent("the sample set has no labels, or the outputs are no class scores")
    no_golden = Absent("the sample set has no golden class scores")
    return {
        "metric": "top1",
        "value": _or(figures["accuracy"], unlabelled),
        "ci95": _or(figures["accuracy_ci95"], unlabelled),
        "n": samples.n,
        "golden_agreement": _or(figures["agreement"], no_golden),
        "dataset_sha256": run.workload.source.removeprefix("dataset:"),
        "same_session_options": True,
    }
