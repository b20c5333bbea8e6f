"""The report's figures about time: latency distribution, steadiness, contention."""

import statistics as stdlib_statistics
from array import array
from collections.abc import Sequence
from typing import Any

from benchmarks.evidence import EvidenceLog
from benchmarks.histogram import histogram_of
from benchmarks.report import Absent, Maybe
from benchmarks.statistics import (
    P90_MIN_N,
    P99_MIN_N,
    count_outliers,
    early_stopping_upper_bound,
    median_absolute_deviation,
    median_interval,
    percentile,
)
from benchmarks.timing import Window


def pool(windows: Sequence[Window]) -> "array[int]":
    """The latencies of all windows in the order they were measured."""
    together: array[int] = array("Q")
    for window in windows:
        together.extend(window.latencies_ns)
    return together


def latency_block(windows: Sequence[Window]) -> dict[str, Any]:
    """The distribution over the whole timed run, in nanoseconds."""
    ordered = sorted(pool(windows))
    n = len(ordered)
    interval = median_interval(ordered)
    outliers = count_outliers(ordered)
    return {
        "unit": "ns",
        "n": n,
        "min": ordered[0],
        "p50": percentile(ordered, 0.5),
        "p90": _tail(ordered, 0.90, P90_MIN_N),
        "p95": _tail(ordered, 0.95, 130),
        "p99": _tail(ordered, 0.99, P99_MIN_N),
        "max": ordered[-1],
        "mean": round(sum(ordered) / n),
        "stdev": round(stdlib_statistics.pstdev(ordered)),
        "mad": median_absolute_deviation(ordered),
        "p90_upper99": _bound(ordered, 0.90, P90_MIN_N),
        "p99_upper99": _bound(ordered, 0.99, P99_MIN_N),
        "p50_ci95": list(interval) if interval else Absent(f"needs n >= 6, there are {n}"),
        "outliers": {"mild": outliers.mild, "severe": outliers.severe},
        "hist": histogram_of(ordered),
        "cpu_ns_per_inference": round(sum(window.cpu_ns for window in windows) / n),
    }


def _tail(ordered: Sequence[int], share: float, min_n: int) -> Maybe[int]:
    return percentile(ordered, share) if len(ordered) >= min_n else _too_few(ordered, min_n)


def _bound(ordered: Sequence[int], share: float, min_n: int) -> Maybe[int]:
    bound = early_stopping_upper_bound(ordered, share)
    return _too_few(ordered, min_n) if bound is None else bound


def _too_few(ordered: Sequence[int], min_n: int) -> Absent:
    return Absent(f"needs n >= {min_n}, there are {len(ordered)}")


def steady_state_block(windows: Sequence[Window], evidence: EvidenceLog) -> dict[str, Any]:
    """Windows as columns, the drift from the first quarter to the last, and the stability of the last three."""
    quarter = len(windows) // 4
    return {
        "windows": {
            "t_s": [round(window.started_ns / 1e9, 3) for window in windows],
            "n": [len(window.latencies_ns) for window in windows],
            "p50_ns": [_p50(window.latencies_ns) for window in windows],
            "temp_c": evidence.temperatures_c,
            "freq_khz": evidence.frequencies_khz,
        },
        "drift_last_over_first": (
            round(_p50(pool(windows[-quarter:])) / _p50(pool(windows[:quarter])), 4)
            if quarter
            else Absent(f"needs 4 windows, there are {len(windows)}")
        ),
        "stable_3w_10pct": (
            _stable(windows[-3:]) if len(windows) >= 3 else Absent(f"needs 3 windows, there are {len(windows)}")
        ),
    }


def _p50(latencies: Sequence[int]) -> int:
    return percentile(sorted(latencies), 0.5)


def _stable(windows: Sequence[Window]) -> bool:
    """Within 10 % in both latency and throughput, the rule of Triton's perf_analyzer."""
    medians = [_p50(window.latencies_ns) for window in windows]
    rates = [len(window.latencies_ns) / window.wall_ns for window in windows]
    return max(medians) <= 1.1 * min(medians) and max(rates) <= 1.1 * min(rates)


def cpu_share(windows: Sequence[Window]) -> float:
    """CPU time over wall time of the timed run; 1.0 when one thread never had to wait for a core."""
    return round(sum(window.cpu_ns for window in windows) / sum(window.wall_ns for window in windows), 4)
