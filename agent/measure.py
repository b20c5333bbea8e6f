"""The benchmark that follows an activation. Whatever happens to it, the activation stands."""

import logging
from dataclasses import replace

from agent import slots
from agent.config import Config
from agent.keeping import Keeper, Messages
from agent.layout import Layout
from benchmarks.errors import BenchmarkError
from benchmarks.runner import run_benchmark

MAX_RUNS = 2
MIB = 1 << 20

log = logging.getLogger(__name__)


def measure_due(model: str, config: Config, layout: Layout, store: Keeper, outbox: Messages) -> bool:
    """Run the benchmark that a line owes, if it owes one; whether a report was put into the outbox.

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
    try:
        report = run_benchmark(
            paths.model(due.sha256),
            tier=config.bench.tier,
            samples=sample_path if sample_path is not None and sample_path.is_file() else None,
            timeout_s=config.children.timeout_s,
            memory_limit_bytes=config.children.memory_limit_mib * MIB,
            nice=0,  # a benchmark that gives way to everything measures everything else
            watts=config.bench.watts,
            device_class=config.device_class,
        )
    except BenchmarkError as error:
        log.warning("benchmark_failed", extra={"model": model, "slug": error.slug, "why": str(error)})
        store.commit(settled)
        return False
    outbox.put_report({"model": model, "sha256": due.sha256, "attempt": due.attempt, "report": report})
    store.commit(settled)
    return True
