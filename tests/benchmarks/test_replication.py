"""Reports of several processes become one. The reports are real; what makes them differ is put into copies."""

import copy
from pathlib import Path
from typing import Any

import pytest

from benchmarks.activations import highest_peak
from benchmarks.histogram import histogram_of, samples_in
from benchmarks.replication import _T_975, conclude
from benchmarks.runner import run_benchmark
from benchmarks.schema import validate
from benchmarks.tiers import MAX_PROCESSES, TIERS

Report = dict[str, Any]


@pytest.fixture(scope="module")
def measured(classifier: Path) -> Report:
    return run_benchmark(classifier, tier="smoke", timeout_s=60)


def _runs(measured: Report, medians: list[int]) -> list[Report]:
    runs = []
    for number, median in enumerate(medians):
        run = copy.deepcopy(measured)
        run["latency"] |= {"p50": median, "hist": histogram_of([median] * (number + 1))}
        run["cold_start"]["import_ms"] = float(number)
        run["validity"]["flags"] = [flag for flag in run["validity"]["flags"] if not flag["id"].startswith("replicate")]
        runs.append(run)
    return runs


def _conclude(runs: list[Report], peak: int | None = 4096) -> Report:
    activations = {"peak_bytes": peak, "reason": None if peak else "the profiled run failed: no room"}
    return conclude({"runs": runs, "activations": activations, "duration_s": 9.5})


@pytest.mark.parametrize(
    ("medians", "body"), [([300], 0), ([300, 100, 200], 2), ([400, 100], 1), ([100, 400, 300, 200], 3), ([5, 5, 5], 0)]
)
def test_body_is_the_process_with_the_lower_median(measured: Report, medians: list[int], body: int) -> None:
    report = _conclude(_runs(measured, medians))

    validate(report)
    assert report["replication"]["body"] == body
    assert report["latency"]["p50"] == medians[body] == report["replication"]["p50_median_ns"]
    assert report["cold_start"]["import_ms"] == body
    assert report["duration_s"] == 9.5


def test_sketches_of_all_processes_are_pooled(measured: Report) -> None:
    assert samples_in(_conclude(_runs(measured, [100, 200, 300]))["latency"]["hist"]) == 1 + 2 + 3


def test_interval_is_students_of_the_processes_medians(measured: Report) -> None:
    """Mean 200, standard deviation 10, three processes: 4.303 * 10 / sqrt(3) = 24.84 to both sides."""
    replication = _conclude(_runs(measured, [190, 200, 210]))["replication"]

    assert replication["p50_ci95"] == [175, 225]
    assert replication["p50_cv"] == 0.05


def test_table_of_students_t_goes_as_far_as_processes_may() -> None:
    assert len(_T_975) == MAX_PROCESSES - 1
    assert sorted(_T_975, reverse=True) == list(_T_975)
    assert max(plan.processes for plan in TIERS.values()) <= MAX_PROCESSES


def test_profile_without_memory_is_absent_with_its_reason(measured: Report) -> None:
    report = _conclude(_runs(measured, [100]), peak=None)

    assert report["memory"]["runtime_peak_activation"] is None
    assert report["reasons"]["/memory/runtime_peak_activation"] == "the profiled run failed: no room"


def test_highest_peak_of_a_profile_counts() -> None:
    """Events as ONNX Runtime 1.32 writes them, shortened; versions before 1.31 have no memory figures."""
    profile = """[{"cat": "Session", "name": "session_initialization", "dur": 14012, "args": {}},
        {"cat": "Node", "name": "conv_kernel_time", "args": {"mem_in_use_peak": "4194432", "op_name": "Conv"}},
        {"cat": "Node", "name": "pool_kernel_time", "args": {"mem_in_use_peak": "4968832", "op_name": "MaxPool"}},
        {"ph": "M"}]"""

    assert highest_peak(profile) == {"peak_bytes": 4968832, "reason": None}
    assert highest_peak(profile.replace("mem_in_use_peak", "other"))["peak_bytes"] is None
    assert "does not record memory" in highest_peak("[]")["reason"]
    assert "cannot be read" in highest_peak('[{"cat": "Sess')["reason"]
