"""Benchmark runs in the database, without their whole reports: what pages and checks of budgets read, for fleets of any size."""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.histogram import histogram_of, merge
from fleet.devices.models import Device
from fleet.measurements.models import BenchmarkReport, BenchmarkSeries, StandingRun
from fleet.measurements.reading import Conditions, Figures
from registry.models import Artifact, ModelLine

SAMPLES = 700


@dataclass(frozen=True, slots=True)
class MadeRun:
    """A run with where it belongs; `p50_ns` is of all its samples."""

    row: BenchmarkReport
    conditions: Conditions
    figures: Figures


def made_run(
    device: Device,
    line: ModelLine,
    artifact: Artifact,
    *,
    run_id: uuid.UUID | None = None,
    p50_ns: int | None = 2_000_000,
    validity: str = "valid",
    device_class: str | None = None,
    configuration: str = "canonical",
    runtime: str = "onnxruntime 1.31.1",
    memory_bytes: int = 38_000_000,
    energy_j: float | None = None,
    energy_source: str = "rapl-pkg of package",
    energy_tier: int = 3,
    accuracy: float | None = 0.96,
    accuracy_ci: tuple[float, float] | None = (0.92, 0.98),
    failed_rules: Sequence[str] = (),
) -> MadeRun:
    """One run, not stored yet."""
    of_class = device.device_class if device_class is None else device_class
    low, high = accuracy_ci or (None, None)
    row = BenchmarkReport(
        run_id=run_id or uuid.uuid4(),
        device=device,
        model_line=line,
        artifact=artifact,
        device_class=of_class,
        schema="bench-report/1",
        validity=validity,
        p50_latency_ns=p50_ns,
        peak_memory_bytes=memory_bytes,
        energy_j=energy_j,
        accuracy=accuracy,
        report={
            "validity": {"state": validity, "flags": [{"id": rule, "ok": False, "value": 0.2} for rule in failed_rules]}
        },
    )
    threads = 1 if configuration == "canonical" else 4
    return MadeRun(
        row,
        Conditions(of_class, runtime, configuration, threads, "CPUExecutionProvider", ""),
        Figures(
            p50_latency_ns=p50_ns,
            cpu_ns=p50_ns,
            peak_memory_bytes=memory_bytes,
            energy_j=energy_j,
            energy_source="" if energy_j is None else energy_source,
            energy_tier=None if energy_j is None else energy_tier,
            accuracy=accuracy,
            accuracy_ci_low=low,
            accuracy_ci_high=high,
        ),
    )


def store_runs(runs: Iterable[MadeRun]) -> None:
    """Insert runs in bulk with what the service makes of them; the newest are the last."""
    grouped: defaultdict[tuple[Any, ...], list[MadeRun]] = defaultdict(list)
    for run in runs:
        grouped[run.row.model_line, run.row.artifact, run.conditions].append(run)
    for (line, artifact, conditions), members in grouped.items():
        _store_series(line, artifact, conditions, members)


def _store_series(line: ModelLine, artifact: Artifact, conditions: Conditions, runs: list[MadeRun]) -> None:
    counting = [run for run in runs if run.row.validity != "invalid"]
    series, _ = BenchmarkSeries.objects.get_or_create(model_line=line, artifact=artifact, **asdict(conditions))
    series.runs += len(runs)
    series.invalid_runs += len(runs) - len(counting)
    series.valid_runs += sum(run.row.validity == "valid" for run in counting)
    headlines = [run.figures.p50_latency_ns for run in counting if run.figures.p50_latency_ns]
    latencies = histogram_of(p50_ns for p50_ns in headlines for _ in range(SAMPLES // len(headlines) + 1))
    series.latency_histogram = merge(filter(None, [series.latency_histogram, latencies]))
    series.save()
    for run in runs:
        run.row.series = series
    BenchmarkReport.objects.bulk_create([run.row for run in runs], batch_size=1000)
    newest = {run.row.device_id: run for run in counting}
    fields = [*asdict(runs[0].figures), "run"]
    StandingRun.objects.bulk_create(
        [
            StandingRun(series=series, device=run.row.device, run=run.row, **asdict(run.figures))
            for run in newest.values()
        ],
        batch_size=1000,
        update_conflicts=True,
        unique_fields=["series", "device"],
        update_fields=fields,
    )
