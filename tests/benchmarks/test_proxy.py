"""When a proxy and a measurement prefer different models. Figures of ShuffleNet as measured: 4.06 ms in fp32, 8.21 ms in int8."""

import subprocess
import sys
from typing import Any

import pytest

from benchmarks.proxy import (
    METRICS,
    PROXIES,
    Candidate,
    Comparison,
    Verdict,
    compare,
    conditions_of,
    measured_of,
    proxies_of,
    sentence,
)
from benchmarks.report import Absent

TIMES = "\u00d7"
FP32: dict[str, Any] = {
    "macs": {f"float32{TIMES}float32": 124_700_000},
    "param_bytes": 5_500_000,
    "peak_activation_bytes": 3_110_000,
    "ops_uncounted": {},
}
INT8 = {**FP32, "macs": {f"uint8{TIMES}int8": 124_700_000}, "param_bytes": 1_400_000, "peak_activation_bytes": 780_000}


def _report(p50_ms: float, *, joules: float | None = None, state: str = "valid", **conditions: Any) -> dict[str, Any]:
    p50 = round(p50_ms * 1e6)
    energy = joules and {
        "method": "hwmon",
        "scope": "board",
        "source": "ina228:VIN",
        "tier": 1,
        "median": joules,
        "mad": joules / 100,
        "windows_n": 5,
    }
    return {
        "environment": {"device_class": "x86", "cpu_model": "C", "power_mode": None, "affinity": [1]},
        "runtime": {
            "name": "onnxruntime",
            "version": "1.31.1",
            "providers_requested": ["CPUExecutionProvider"],
            "intra_op": 1,
            "spinning": False,
            **conditions,
        },
        "latency": {"p50": p50, "p50_ci95": [p50 - 1000, p50 + 1000], "cpu_ns_per_inference": p50},
        "energy": energy,
        "validity": {
            "state": state,
            "flags": [
                {"id": "cpu_share", "ok": state != "invalid", "severity": "invalid"},
                {"id": "n_p99", "ok": True},
            ],
        },
        "reasons": {} if energy else {"/energy": "no sensor"},
    }


def _candidate(name: str, static: dict[str, Any] | None, size_bytes: int, *reports: dict[str, Any]) -> Candidate:
    return Candidate(name, proxies_of(static, size_bytes=size_bytes), measured_of(reports))


def _by_id(comparison: Comparison) -> dict[str, Verdict]:
    return {verdict.id: verdict for verdict in comparison.verdicts}


def _shufflenet(*int8: dict[str, Any]) -> Comparison:
    return compare(
        _candidate("fp32", FP32, 5_700_000, _report(4.06)),
        _candidate("int8", INT8, 1_680_000, *int8 or [_report(8.21)]),
    )


def test_smaller_file_that_is_slower_is_a_disagreement() -> None:
    comparison = _shufflenet()
    found = _by_id(comparison)

    assert found["size_bytes-vs-p50_latency_ns"].state == "disagree"
    assert found["size_bytes-vs-p50_latency_ns"].metric_ratio.mid == pytest.approx(8.21 / 4.06)
    assert found["analytic_j-vs-cpu_ns"].state == "disagree"
    assert found["macs-vs-p50_latency_ns"].state == "unforeseen"
    assert {verdict.id for verdict in comparison.disagreements} == {
        "size_bytes-vs-p50_latency_ns",
        "size_bytes-vs-cpu_ns",
        "analytic_j-vs-p50_latency_ns",
        "analytic_j-vs-cpu_ns",
    }
    words = sentence(found["size_bytes-vs-p50_latency_ns"], comparison)
    assert words.startswith("bytes of the file: int8 is 0.29 x fp32; median latency: 2.02 x")
    assert words.endswith("they disagree, fp32 is cheaper where it was measured")


def test_order_of_the_two_models_does_not_change_the_verdicts() -> None:
    fp32, int8 = (
        _candidate("fp32", FP32, 5_700_000, _report(4.06)),
        _candidate("int8", INT8, 1_680_000, _report(8.21)),
    )

    assert [verdict.state for verdict in compare(fp32, int8).verdicts] == [
        verdict.state for verdict in compare(int8, fp32).verdicts
    ]
    assert {verdict.metric_prefers for verdict in compare(int8, fp32).verdicts} == {"b"}


def test_difference_within_the_noise_of_processes_is_none() -> None:
    assert _by_id(_shufflenet(_report(4.14)))["size_bytes-vs-p50_latency_ns"].state == "unconfirmed"


def test_faster_and_smaller_agree() -> None:
    assert _by_id(_shufflenet(_report(2.4)))["size_bytes-vs-p50_latency_ns"].state == "agree"


def test_many_reports_are_judged_by_the_interval_of_their_median_and_not_by_their_range() -> None:
    """One of nine devices is slow; nine narrow figures do not become one wide one."""
    measured = measured_of([_report(ms) for ms in (4.0, 4.0, 4.0, 4.0, 4.0, 4.01, 4.01, 4.02, 40.0)])
    estimate = measured.metrics["p50_latency_ns"]

    assert not isinstance(estimate, Absent)
    assert (estimate.mid, estimate.low, estimate.high, estimate.n) == (4_000_000, 4_000_000, 4_020_000, 9)


def test_processes_of_one_report_count_one_by_one() -> None:
    report = {**_report(4.0), "replication": {"p50_ns": [3_900_000, 4_000_000, 4_300_000]}}
    estimate = measured_of([report]).metrics["p50_latency_ns"]

    assert not isinstance(estimate, Absent)
    assert (estimate.mid, estimate.n) == (4_000_000, 3)
    assert estimate.low < 3_900_000
    assert estimate.high > 4_300_000


def test_cpu_time_at_different_watts_is_no_comparison_of_energy() -> None:
    a, b = _report(4.0, joules=0.010), _report(4.0, joules=0.010)
    for report, watts in ((a, 3), (b, 4)):
        report["energy"] |= {
            "method": "cputime-calibrated",
            "scope": "process-share",
            "source": f"{watts} W per busy core",
        }

    comparison = compare(_candidate("a", FP32, 5_700_000, a), _candidate("b", FP32, 5_700_000, b))

    assert "at 3 W per busy core" in comparison.missing["size_bytes-vs-energy_j"]


def test_invalid_reports_never_count_but_are_counted() -> None:
    measured = measured_of([_report(4.0), _report(9.0, state="invalid")])

    assert measured.ignored == 1
    estimate = measured.metrics["p50_latency_ns"]
    assert not isinstance(estimate, Absent)
    assert estimate.mid == 4_000_000


def test_only_invalid_reports_give_no_verdict_but_a_reason() -> None:
    comparison = _shufflenet(_report(8.0, state="invalid"))

    assert not comparison.verdicts
    assert set(comparison.missing) == {f"{proxy}-vs-{metric}" for proxy in PROXIES for metric in METRICS}
    assert comparison.missing["macs-vs-cpu_ns"] == "int8: all 1 reports are invalid: cpu_share"


def test_reports_of_different_runtimes_are_not_compared() -> None:
    comparison = _shufflenet(_report(8.0, version="1.20.1"))

    assert not comparison.verdicts
    assert "onnxruntime 1.31.1 and onnxruntime 1.20.1" in comparison.missing["macs-vs-cpu_ns"]


def test_reports_of_one_model_under_different_conditions_are_refused() -> None:
    with pytest.raises(ValueError, match="threads 1 and 4"):
        measured_of([_report(4.0), _report(2.0, intra_op=4)])


def test_conditions_can_group_reports() -> None:
    assert len({tuple(conditions_of(_report(ms)).items()) for ms in (1.0, 2.0)}) == 1


def test_energy_is_compared_where_both_were_measured_alike() -> None:
    both = compare(
        _candidate("fp32", FP32, 5_700_000, _report(4.0, joules=0.010)),
        _candidate("int8", INT8, 1_680_000, _report(4.0, joules=0.020)),
    )
    one = compare(
        _candidate("fp32", FP32, 5_700_000, _report(4.0, joules=0.010)),
        _candidate("int8", INT8, 1_680_000, _report(4.0)),
    )

    assert _by_id(both)["analytic_j-vs-energy_j"].state == "disagree"
    assert one.missing["analytic_j-vs-energy_j"] == "int8: no sensor"


def test_graph_that_was_not_counted_or_not_wholly_gives_bytes_only() -> None:
    uncounted = proxies_of({**FP32, "ops_uncounted": {"LSTM": 2}}, size_bytes=10)
    unknown = proxies_of(None, size_bytes=10)

    assert uncounted["macs"] == Absent("LSTM could not be counted")
    assert unknown["analytic_j"] == Absent("the graph was not counted")
    assert not isinstance(unknown["size_bytes"], Absent)


def test_module_needs_neither_numpy_nor_onnx() -> None:
    code = "import sys, benchmarks.proxy; assert not {'numpy', 'onnx', 'onnxruntime'} & set(sys.modules), sorted(sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == 0
