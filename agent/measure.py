"""The benchmark that follows an activation. Whatever happens to it, the activation stands."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent import slots
from agent.config import Config
from agent.keeping import Keeper, Messages
from agent.layout import Layout
from agent.vigil import vigil
from benchmarks.configurations import CONFIGURATIONS, Configuration
from benchmarks.errors import BenchmarkError

MAX_RUNS = 2
MIB = 1 << 20

log = logging.getLogger(__name__)


def measure_due(model: str, config: Config, layout: Layout, store: Keeper, outbox: Messages) -> bool:
    """Run the benchmark that a line owes, if it owes one; whether a report was put into the outbox. Each configuration is a report.

    The run is counted on disk before it begins: a model that takes the machine down is measured twice, then no more.
    """
    line = store.state.lines[model]
    due = line.benchmark
    if due is None:
        return False
    settled = store.state.with_line(model, replace(line, benchmark=None))
    if due.sha256 != line.current or due.runs >= MAX_RUNS:
        store.commit(settled)
        return False
    store.commit(store.state.with_line(model, replace(line, benchmark=replace(due, runs=due.runs + 1))))
    paths = layout.line(model)
    samples = slots.sample_set_of(paths, due.sha256)
    sample_path = None if samples is None else layout.sample_set(samples)
    reports = [
        report
        for name in config.bench.configurations
        if (report := _measure(model, paths.model(due.sha256), sample_path, CONFIGURATIONS[name], config)) is not None
    ]
    for report in reports:
        outbox.put_report({"model": model, "sha256": due.sha256, "attempt": due.attempt, "report": report})
    store.commit(settled)
    return bool(reports)


def _measure(
    model: str, file: Path, samples: Path | None, configuration: Configuration, config: Config
) -> dict[str, Any] | None:
    """The report of one configuration, or None where the benchmark failed, which the log says."""
    from benchmarks.runner import (
        longest_s,
        run_benchmark,
    )  # here: a daemon that may rest for weeks does not keep the ruler in memory

    bench, timeout_s = config.bench, config.children.timeout_s
    try:
        with vigil.allow(longest_s(bench.tier, processes=bench.processes, timeout_s=timeout_s)):
            return run_benchmark(
                file,
                tier=bench.tier,
                samples=samples if samples is not None and samples.is_file() else None,
                configuration=configuration,
                processes=bench.processes,
                providers=bench.providers,
                timeout_s=timeout_s,
                memory_limit_bytes=config.children.memory_limit_mib * MIB,
                nice=0,  # a benchmark that gives way to everything measures everything else
                watts=bench.watts,
                device_class=config.device_class,
            )
    except BenchmarkError as error:
        log.warning(
            "benchmark_failed",
            extra={"model": model, "configuration": configuration.name, "slug": error.slug, "why": str(error)},
        )
        return None
