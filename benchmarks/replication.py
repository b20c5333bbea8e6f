"""Several processes, one report. Child side of the parent's last question; values in, report out.

A process has its own address layout, its own placement of pages and its own luck: between processes the median moves more than the interval
from one process's samples says (measured over eight: 1.1 %, and the p99 20 %). So a headline number needs at least three.

What the report then holds:

* the figures of one process, the one whose p50 is the median of the processes' (the lower, of an even number): latency, memory, cold start
  and energy belong to each other, and `latency.p50` is the headline;
* `latency.hist` over all samples of all processes, and `replication` with what differs between processes;
* for each validity rule the worst of all processes, and two rules about the processes themselves.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.histogram import merge
from benchmarks.report import Absent, Maybe, settle, unsettle
from benchmarks.validity import worst_of

# Student's t, 97.5 %, for 1 to 19 degrees of freedom, as many as `MAX_PROCESSES` allows (NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2).
_T_975 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093),
)


def conclude(request: Mapping[str, Any]) -> dict[str, Any]:
    """The report of a benchmark, from the reports of its processes in the order they ran and the profiled run's figure."""
    runs = [unsettle(report) for report in request["runs"]]
    medians = [run["latency"]["p50"] for run in runs]
    body = medians.index(statistics.median_low(medians))
    replication = _replication(runs, medians, body)
    tree = {
        **runs[body],
        "started_at": runs[0]["started_at"],
        "duration_s": request["duration_s"],
        "latency": {**runs[body]["latency"], "hist": merge(run["latency"]["hist"] for run in runs)},
        "memory": {**runs[body]["memory"], "runtime_peak_activation": _peak_activation(request["activations"])},
        "replication": replication,
        "validity": worst_of([run["validity"] for run in runs], body=body, p50_cv=replication["p50_cv"]),
    }
    return settle(tree)


def _peak_activation(activations: Mapping[str, Any]) -> Maybe[int]:
    peak: int | None = activations["peak_bytes"]
    return Absent(activations["reason"]) if peak is None else peak


def _replication(runs: Sequence[Mapping[str, Any]], medians: Sequence[int], body: int) -> dict[str, Any]:
    steps = ("import_ms", "file_read_ms", "session_create_ms", "first_inference_ms")
    return {
        "processes": len(runs),
        "body": body,
        "n": sum(run["latency"]["n"] for run in runs),
        "p50_ns": list(medians),
        "p50_median_ns": medians[body],
        "p50_ci95": _interval(medians),
        "p50_cv": _variation(medians),
        "states": [run["validity"]["state"] for run in runs],
        "cold_start_ms": [round(sum(run["cold_start"][step] for step in steps), 3) for run in runs],
        "page_cache": [run["cold_start"]["page_cache"] for run in runs],
    }


def _variation(medians: Sequence[int]) -> Maybe[float]:
    """Standard deviation over mean."""
    if len(medians) < 2:
        return Absent("one process")
    return round(statistics.stdev(medians) / statistics.fmean(medians), 5)


def _interval(medians: Sequence[int]) -> Maybe[list[int]]:
    """The 95 % interval of the mean of the processes' medians, taken to be about normal."""
    if len(medians) < 3:
        return Absent(f"needs 3 processes, there {'is 1' if len(medians) == 1 else 'are 2'}")
    half = _T_975[len(medians) - 2] * statistics.stdev(medians) / math.sqrt(len(medians))
    centre = statistics.fmean(medians)
    return [max(0, math.floor(centre - half)), math.ceil(centre + half)]
