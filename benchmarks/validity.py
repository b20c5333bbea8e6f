"""May this report be believed? Pure rules over the figures of a finished run.

`valid`: every rule holds. `semivalid`: the distribution is sound but too short, too few or not steady enough to stand for
long use or as a headline. `invalid`: the numbers describe something else than the model, such as a core shared with another process.
Rules that inform do not change the state, nor do those that
could not be judged. Sources: LoadGen and MLPerf Mobile (counts, durations), perf_analyzer
(stability), pyperf (coefficient of variation, several processes); the CPU share was measured: 0.98-1.00 alone, 0.33-0.93 contended.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.environment import PowerSupply
from benchmarks.evidence import STEADY_FREQUENCY, EvidenceLog
from benchmarks.report import Absent, Maybe
from benchmarks.statistics import P90_MIN_N, P99_MIN_N
from benchmarks.tiers import TierPlan

MIN_CPU_SHARE = 0.95
MAX_DRIFT = 1.05
MAX_CV = 0.10
MIN_ENERGY_COVER = 0.99
MAX_WAIT = 0.05
MAX_PRESSURE = 0.1
MIN_PROCESSES = 3
MAX_CV_OF_PROCESSES = 0.05

Severity = Literal["invalid", "semivalid", "info"]


@dataclass(frozen=True, slots=True)
class Flag:
    """One rule and how it went. `severity` is what the report becomes when it does not hold."""

    id: str
    ok: Maybe[bool]
    value: Maybe[float | bool]
    limit: float | bool
    severity: Severity


def judge(
    *,
    plan: TierPlan,
    timed_s: float,
    threads: int,
    providers: Sequence[str],
    placed: Maybe[Mapping[str, int]],
    latency: Mapping[str, Any],
    steady: Mapping[str, Any],
    share: float,
    evidence: EvidenceLog,
    power: PowerSupply,
    energy: Maybe[Mapping[str, Any]],
) -> dict[str, Any]:
    """The report's validity block."""
    n = latency["n"]
    drift = steady["drift_last_over_first"]
    flags = [
        Flag("n_p90", n >= P90_MIN_N, n, P90_MIN_N, "invalid"),
        Flag("n_p99", n >= P99_MIN_N, n, P99_MIN_N, "info"),
        _cpu_share(share, threads),
        Flag("min_duration", timed_s >= plan.valid_duration_s, round(timed_s, 3), plan.valid_duration_s, "semivalid"),
        Flag("drift", drift if isinstance(drift, Absent) else drift <= MAX_DRIFT, drift, MAX_DRIFT, "semivalid"),
        Flag("stability", steady["stable_3w_10pct"], steady["stable_3w_10pct"], True, "semivalid"),  # noqa: FBT003
        _cv(latency),
        _provider(providers, placed),
        _evidence("throttle", evidence.throttle_events, "semivalid", most=0),
        _evidence("undervolt", evidence.undervolt, "semivalid", most=False),
        _evidence("run_delay", evidence.wait_share(threads), "invalid", most=MAX_WAIT),
        _evidence("psi", evidence.pressure_share, "info", most=MAX_PRESSURE),
        _frequency(evidence.frequency_ratio),
        _power_source(power),
        _energy_cover(energy),
    ]
    return _block(flags)


def worst_of(blocks: Sequence[Mapping[str, Any]], *, body: int, p50_cv: Maybe[float]) -> dict[str, Any]:
    """The validity of several processes together: for each rule the process that kept it worst, and two rules about their number and spread."""
    worst = {flag["id"]: flag for flag in blocks[body]["flags"]}
    for block in blocks:
        for flag in block["flags"]:
            if _harm(flag) > _harm(worst.get(flag["id"])):
                worst[flag["id"]] = flag
    spread: Maybe[bool] = p50_cv if isinstance(p50_cv, Absent) else p50_cv <= MAX_CV_OF_PROCESSES
    own = _block(
        [
            Flag("replicate", len(blocks) >= MIN_PROCESSES, len(blocks), MIN_PROCESSES, "semivalid"),
            Flag("replicate_cv", spread, p50_cv, MAX_CV_OF_PROCESSES, "semivalid"),
        ]
    )
    flags = [*worst.values(), *own["flags"]]
    unjudged = {rule: why for rule, why in blocks[body]["unjudged"].items() if rule not in worst}
    return {"state": _state_of(flags), "flags": flags, "unjudged": unjudged | own["unjudged"]}


def _harm(flag: Mapping[str, Any] | None) -> int:
    """How much a rule's outcome takes from a report; an unjudged one takes least."""
    if flag is None:
        return -1
    return 1 + ("info", "semivalid", "invalid").index(flag["severity"]) if flag["ok"] is False else 0


def _cpu_share(share: float, threads: int) -> Flag:
    """With several threads waiting for each other is normal, so the share informs only."""
    ok: Maybe[bool] = share >= MIN_CPU_SHARE if threads == 1 else Absent("judged with one thread only")
    return Flag("cpu_share", ok, share, MIN_CPU_SHARE, "invalid" if threads == 1 else "info")


def _provider(wanted: Sequence[str], placed: Maybe[Mapping[str, int]]) -> Flag:
    """The share of nodes on the provider that was asked for first. With none of them there, something else was measured."""
    if isinstance(placed, Absent):
        return Flag("provider", placed, placed, 1.0, "semivalid")
    share = placed.get(wanted[0], 0) / sum(placed.values())
    return Flag("provider", share == 1, round(share, 4), 1.0, "semivalid" if share else "invalid")


def _evidence(rule: str, value: Maybe[float | bool], severity: Severity, *, most: float | bool) -> Flag:
    return Flag(rule, value if isinstance(value, Absent) else value <= most, value, most, severity)


def _frequency(ratio: Maybe[float]) -> Flag:
    """The slowest window's clock over the fastest one's: a governor or the heat changed what was measured."""
    ok: Maybe[bool] = ratio if isinstance(ratio, Absent) else ratio >= STEADY_FREQUENCY
    return Flag("frequency", ok, ratio, STEADY_FREQUENCY, "semivalid")


def _power_source(power: PowerSupply) -> Flag:
    """On battery a device may be held slower than on mains. One that has nothing else is measured as it lives."""
    ok: Maybe[bool] = Absent("the battery is the device's only supply")
    if isinstance(power.source, Absent):
        ok = power.source
    elif power.has_mains:
        ok = power.source == "mains"
    return Flag("power_source", ok, ok, True, "semivalid")  # noqa: FBT003


def _cv(latency: Mapping[str, Any]) -> Flag:
    cv = round(latency["stdev"] / latency["mean"], 4)
    return Flag("cv", cv < MAX_CV, cv, MAX_CV, "info")


def _energy_cover(energy: Maybe[Mapping[str, Any]]) -> Flag:
    """MLPerf Tiny's monitor drops a run in which more than 0.1 % of samples are missing; a sysfs sensor is granted 1 %."""
    share: Maybe[float] = Absent("no energy figure")
    if not isinstance(energy, Absent):
        share = round(energy["samples_ok"] / energy["samples_expected"], 4)
    ok: Maybe[bool] = share if isinstance(share, Absent) else share >= MIN_ENERGY_COVER
    return Flag("energy_cover", ok, share, MIN_ENERGY_COVER, "semivalid")


def _block(flags: Sequence[Flag]) -> dict[str, Any]:
    """The block of the report.

    A rule that holds is named only: its figure stands elsewhere in the report, and reports travel over links that cost money. One that
    could not be judged does not count against the report.
    """
    judged = [_written(flag) for flag in flags if not isinstance(flag.ok, Absent)]
    unjudged = {flag.id: flag.ok.reason for flag in flags if isinstance(flag.ok, Absent)}
    return {"state": _state_of(judged), "flags": judged, "unjudged": unjudged}


def _written(flag: Flag) -> dict[str, Any]:
    return {"id": flag.id, "ok": True} if flag.ok else {name: getattr(flag, name) for name in Flag.__slots__}


def _state_of(flags: Sequence[Mapping[str, Any]]) -> str:
    """The worst severity among the rules that do not hold."""
    failed = {flag["severity"] for flag in flags if flag["ok"] is False}
    return next((state for state in ("invalid", "semivalid") if state in failed), "valid")
