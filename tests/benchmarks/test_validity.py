"""The rules, one by one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.environment import PowerSupply
from benchmarks.evidence import Edge, EvidenceLog
from benchmarks.report import Absent
from benchmarks.tiers import TIERS
from benchmarks.validity import judge, worst_of

ON_MAINS = PowerSupply("mains", has_mains=True)
QUIET = Edge(0, 2_400_000, 1.0, 50.0, 7, 7, 0, 0, undervolt_alarm=False, pressure_us=1000, waited_ns=50)


def _evidence(**last: Any) -> EvidenceLog:
    """A run of two windows of a second, whose last edge is like the others but for what is given."""
    log = EvidenceLog(root=Path("/nowhere"))
    log.edges = [QUIET, replace(QUIET, at_ns=10**9), replace(QUIET, at_ns=2 * 10**9, **last)]
    return log


BLIND = EvidenceLog(root=Path("/nowhere"))
BLIND.edges = [Edge(at, *([None] * 10)) for at in (0, 10**9)]

GOOD: dict[str, Any] = {
    "plan": TIERS["rapid"],
    "timed_s": 6.0,
    "threads": 1,
    "providers": ["CPUExecutionProvider"],
    "placed": {"CPUExecutionProvider": 41},
    "latency": {"n": 1000, "mean": 100, "stdev": 5},
    "steady": {"drift_last_over_first": 1.0, "stable_3w_10pct": True},
    "share": 0.99,
    "evidence": _evidence(),
    "power": ON_MAINS,
    "energy": {"samples_ok": 990, "samples_expected": 1000},
}


def _judge(**changes: Any) -> tuple[str, set[str]]:
    block = judge(**{**GOOD, **changes})
    return block["state"], {flag["id"] for flag in block["flags"] if flag["ok"] is False}


def test_clean_run_is_valid() -> None:
    assert _judge() == ("valid", set())


@pytest.mark.parametrize(
    ("changes", "state", "failed"),
    [
        ({"latency": {"n": 63, "mean": 100, "stdev": 5}}, "invalid", {"n_p90", "n_p99"}),
        ({"latency": {"n": 661, "mean": 100, "stdev": 5}}, "valid", {"n_p99"}),
        ({"latency": {"n": 1000, "mean": 100, "stdev": 10}}, "valid", {"cv"}),
        ({"share": 0.949}, "invalid", {"cpu_share"}),
        ({"timed_s": 5.9}, "semivalid", {"min_duration"}),
        ({"steady": {"drift_last_over_first": 1.06, "stable_3w_10pct": True}}, "semivalid", {"drift"}),
        ({"steady": {"drift_last_over_first": 1.0, "stable_3w_10pct": False}}, "semivalid", {"stability"}),
        ({"evidence": _evidence(core_throttles=9)}, "semivalid", {"throttle"}),
        ({"evidence": _evidence(cooling_state=1)}, "semivalid", {"throttle"}),
        ({"evidence": _evidence(undervolt_alarm=True)}, "semivalid", {"undervolt"}),
        ({"evidence": _evidence(freq_khz=2_100_000)}, "semivalid", {"frequency"}),
        ({"evidence": _evidence(waited_ns=50 + 90_000_000)}, "valid", set()),
        ({"evidence": _evidence(waited_ns=50 + 110_000_000)}, "invalid", {"run_delay"}),
        ({"evidence": _evidence(waited_ns=50 + 190_000_000), "threads": 2}, "valid", set()),
        ({"evidence": _evidence(waited_ns=50 + 210_000_000), "threads": 2}, "invalid", {"run_delay"}),
        ({"evidence": _evidence(pressure_us=1000 + 2_000_000)}, "valid", {"psi"}),
        ({"power": PowerSupply("battery", has_mains=True)}, "semivalid", {"power_source"}),
        ({"power": PowerSupply("battery", has_mains=False)}, "valid", set()),
        ({"energy": {"samples_ok": 989, "samples_expected": 1000}}, "semivalid", {"energy_cover"}),
        ({"energy": Absent("no meter")}, "valid", set()),
        ({"placed": {"CPUExecutionProvider": 39, "XnnpackExecutionProvider": 2}}, "semivalid", {"provider"}),
        ({"providers": ["XnnpackExecutionProvider", "CPUExecutionProvider"]}, "invalid", {"provider"}),
        ({"share": 0.5, "timed_s": 1.0}, "invalid", {"cpu_share", "min_duration"}),
    ],
)
def test_broken_rule_is_named_and_lowers_the_state(changes: dict[str, Any], state: str, failed: set[str]) -> None:
    assert _judge(**changes) == (state, failed)


def test_share_of_several_threads_only_informs() -> None:
    block = judge(**{**GOOD, "threads": 2, "share": 0.7})

    assert block["state"] == "valid"
    assert block["unjudged"] == {"cpu_share": "judged with one thread only"}


def test_placement_that_the_runtime_does_not_tell_is_not_judged() -> None:
    assert _judge(placed=Absent("the runtime does not say")) == ("valid", set())


def test_rule_that_cannot_be_judged_does_not_count_against_the_run() -> None:
    block = judge(**{**GOOD, "evidence": BLIND, "power": PowerSupply(Absent("no battery"), has_mains=True)})

    assert block["state"] == "valid"
    assert set(block["unjudged"]) == {"throttle", "undervolt", "run_delay", "psi", "frequency", "power_source"}
    assert block["unjudged"]["power_source"] == "no battery"


def test_rule_that_one_process_could_judge_is_judged() -> None:
    blind, seeing = judge(**{**GOOD, "evidence": BLIND}), judge(**{**GOOD, "evidence": _evidence(core_throttles=8)})
    block = worst_of([blind, seeing, blind], body=0, p50_cv=0.01)

    assert block["state"] == "semivalid"
    assert block["unjudged"] == {}


def test_a_smoke_run_of_one_second_is_semivalid_at_best() -> None:
    assert _judge(plan=TIERS["smoke"], timed_s=1.0) == ("semivalid", {"min_duration"})


def test_worst_process_decides_each_rule() -> None:
    quiet, contended, short = judge(**GOOD), judge(**{**GOOD, "share": 0.5}), judge(**{**GOOD, "timed_s": 2.0})

    block = worst_of([quiet, contended, short], body=0, p50_cv=0.01)
    by_id = {flag["id"]: flag for flag in block["flags"]}

    assert block["state"] == "invalid"
    assert (by_id["cpu_share"]["ok"], by_id["cpu_share"]["value"]) == (False, 0.5)
    assert (by_id["min_duration"]["ok"], by_id["min_duration"]["value"]) == (False, 2.0)
    assert by_id["drift"]["ok"] is True


@pytest.mark.parametrize(
    ("processes", "p50_cv", "state", "failed"),
    [
        (3, 0.05, "valid", set()),
        (3, 0.051, "semivalid", {"replicate_cv"}),
        (2, 0.01, "semivalid", {"replicate"}),
        (1, Absent("one process"), "semivalid", {"replicate"}),
    ],
)
def test_headline_needs_three_processes_that_agree(
    processes: int, p50_cv: float | Absent, state: str, failed: set[str]
) -> None:
    block = worst_of([judge(**GOOD)] * processes, body=0, p50_cv=p50_cv)

    assert (block["state"], {flag["id"] for flag in block["flags"] if flag["ok"] is False}) == (state, failed)
