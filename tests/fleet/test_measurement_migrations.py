"""Reports that were there before series: each finds its own, and its device stands with its newest."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from access.actors import SYSTEM
from fleet.measurements.queries import series_figures
from registry.models import ModelLine
from tests.factories.fleet import make_fleet, make_variant

BEFORE = [("measurements", "0001_initial")]


def old_report(p50_ns: int, **runtime: Any) -> dict[str, Any]:
    """What the first rulers wrote, as far as it is read."""
    return {
        "runtime": {
            "name": "onnxruntime",
            "version": "1.31.1",
            "intra_op": 1,
            "providers_requested": ["CPUExecutionProvider"],
            **runtime,
        },
        "environment": {"device_class": None, "power_mode": None, "affinity": [0]},
        "latency": {"p50": p50_ns, "cpu_ns_per_inference": p50_ns, "hist": {"scheme": "log2x8/1"}},
        "memory": {"load_peak": 5, "run_peak": 7},
        "energy": None,
        "accuracy": None,
    }


@pytest.mark.django_db(transaction=True)
def test_reports_of_before_find_their_series() -> None:
    latest = [key for key in MigrationExecutor(connection).loader.graph.leaf_nodes() if key[0] == "measurements"]
    variant = make_variant()
    device, other = make_fleet(2, current=variant)
    executor = MigrationExecutor(connection)
    executor.migrate(BEFORE)
    try:
        reports = executor.loader.project_state(BEFORE).apps.get_model("measurements", "BenchmarkReport")
        stories = [
            (device, "valid", old_report(100)),
            (device, "semivalid", old_report(200)),
            (device, "invalid", old_report(1)),
            (other, "valid", old_report(500, intra_op=4, version="1.30.0")),
            (other, "valid", old_report(400, intra_op=4)),
        ]
        for age, (of, validity, report) in enumerate(reversed(stories)):
            made = reports.objects.create(
                device_id=of.pk,
                model_line_id=variant.version.model_line_id,
                artifact_id=variant.artifact_id,
                device_class="pi5",
                schema="bench-report/1",
                validity=validity,
                p50_latency_ns=report["latency"]["p50"],
                report=report,
            )
            reports.objects.filter(pk=made.pk).update(received_at=timezone.now() - timedelta(days=age))
    finally:
        MigrationExecutor(connection).migrate(latest)
    every = series_figures(ModelLine.objects.get(), actor=SYSTEM)
    assert [one.series.runtime for one in every if not one.standing] == ["onnxruntime 1.30.0"]
    found = {one.series.configuration: one for one in every if one.standing}
    canonical, custom = found["canonical"], found["custom"]
    assert (canonical.series.runs, canonical.series.valid_runs, canonical.series.invalid_runs) == (3, 1, 1)
    assert [one.p50_latency_ns for one in canonical.standing] == [200]
    assert (canonical.series.device_class, canonical.series.threads) == ("pi5", 1)
    assert [one.p50_latency_ns for one in custom.standing] == [400]
