"""Does what a graph promises come true? Proxies (MACs, bytes, picojoules) of two models against what was measured of both.

A smaller model is not always a faster one: an int8 ShuffleNet has a file 3.4 times smaller and was 2.0 times slower on x86. So no page
and no table shows a proxy without the measurement beside it, and where they prefer different models it is said. Pure, and the standard
library alone: the ruler's command and a server's pages judge by the same function.

    a = Candidate("fp32", proxies_of(static_a, size_bytes=...), measured_of(reports_a))
    b = Candidate("int8", proxies_of(static_b, size_bytes=...), measured_of(reports_b))
    for verdict in compare(a, b).verdicts: ...

`static` is `artifact.static` of a report (`StaticCost.as_artifact()["static"]`), `reports` are `bench-report/1` documents of one model under
one set of conditions (`conditions_of` groups them), from any number of processes or devices.
"""

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.energy.analytic import analytic_block
from benchmarks.report import Absent, Maybe
from benchmarks.statistics import median_interval

ProxyName = Literal["macs", "size_bytes", "analytic_j"]
MetricName = Literal["p50_latency_ns", "cpu_ns", "energy_j"]
Preference = Literal["a", "b", "neither"]
State = Literal["agree", "disagree", "unconfirmed", "unforeseen", "same"]

PROXIES: tuple[ProxyName, ...] = ("macs", "size_bytes", "analytic_j")
METRICS: tuple[MetricName, ...] = ("p50_latency_ns", "cpu_ns", "energy_j")

# A proxy that differs by less than this says nothing: criterion.rs calls less than 1 % no change.
PROXY_MARGIN = 0.01
# Two standard deviations of one figure over fresh processes on a quiet machine: p50 1.1 %, mean 1.8 % (eight processes of SqueezeNet).
_BETWEEN_PROCESSES: dict[MetricName, float] = {"p50_latency_ns": 0.022, "cpu_ns": 0.036, "energy_j": 0.036}


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and the interval it is believed to lie in; `n` processes or reports stand behind it."""

    low: float
    mid: float
    high: float
    n: int = 1


@dataclass(frozen=True, slots=True)
class Measured:
    """What reports say of one model.

    Attributes:
        conditions: under which they were made; None where no report counts.
        metrics: the figures, or why there is none.
        energy_source: method and scope of the energy figure; joules of different sources are never compared.
        ignored: how many reports were invalid and did not count.
    """

    conditions: Mapping[str, Any] | None
    metrics: Mapping[MetricName, Maybe[Estimate]]
    energy_source: str | None = None
    ignored: int = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of the two models. `proxies` that are a band have their middle between the ends."""

    id: str
    proxies: Mapping[ProxyName, Maybe[Estimate]]
    measured: Measured


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one proxy and one metric say about the two models. Ratios are b over a: below 1, b is the cheaper one.

    Attributes:
        proxy_ratio: by the graph. Where the proxy is a band, the ends of it compared with each other: what an assumed chip's memory
            costs is not known, but it is the same for both.
        metric_ratio: as measured, with the least and the most that both intervals allow.
    """

    proxy: ProxyName
    metric: MetricName
    proxy_ratio: Estimate
    metric_ratio: Estimate

    @property
    def id(self) -> str:
        """Stable, such as `size_bytes-vs-p50_latency_ns`."""
        return f"{self.proxy}-vs-{self.metric}"

    @property
    def proxy_prefers(self) -> Preference:
        """The model that is cheaper by the graph."""
        return _preferred(self.proxy_ratio, PROXY_MARGIN)

    @property
    def metric_prefers(self) -> Preference:
        """The model that is cheaper as measured, beyond noise."""
        return _preferred(self.metric_ratio, 0.0)

    @property
    def state(self) -> State:
        """Whether they prefer the same model.

        `disagree`: they prefer different ones. `unconfirmed`: only the proxy prefers one. `unforeseen`: only the measurement does.
        `agree`: both prefer the same one. `same`: neither prefers any.
        """
        if self.proxy_prefers == self.metric_prefers:
            return "same" if self.proxy_prefers == "neither" else "agree"
        if self.metric_prefers == "neither":
            return "unconfirmed"
        return "unforeseen" if self.proxy_prefers == "neither" else "disagree"


def _preferred(ratio: Estimate, margin: float) -> Preference:
    if ratio.high < 1 - margin:
        return "b"
    return "a" if ratio.low > 1 + margin else "neither"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models compared: a verdict per proxy and metric that both have, and why there is none for the others, by the verdict's id."""

    a: str
    b: str
    verdicts: tuple[Verdict, ...]
    missing: Mapping[str, str]

    @property
    def disagreements(self) -> tuple[Verdict, ...]:
        """The verdicts in which a proxy would have chosen the worse model."""
        return tuple(verdict for verdict in self.verdicts if verdict.state == "disagree")


def proxies_of(static: Mapping[str, Any] | None, *, size_bytes: int) -> dict[ProxyName, Maybe[Estimate]]:
    """What the graph promises: multiply-accumulates, bytes of the file, and the analytic energy with its band."""
    proxies: dict[ProxyName, Maybe[Estimate]] = {"size_bytes": exactly(size_bytes)}
    if static is None:
        return {**proxies, "macs": (unknown := Absent("the graph was not counted")), "analytic_j": unknown}
    uncounted = static["ops_uncounted"]
    if uncounted:
        names = ", ".join(sorted(uncounted))
        return {**proxies, "macs": (partly := Absent(f"{names} could not be counted")), "analytic_j": partly}
    return {**proxies, "macs": exactly(sum(static["macs"].values())), "analytic_j": _analytic(static)}


def _analytic(static: Mapping[str, Any]) -> Maybe[Estimate]:
    block = analytic_block(static)
    if isinstance(block, Absent):
        return block
    low, high = block["e_total_j"]
    return Estimate(low, (low + high) / 2, high)


def conditions_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """What must be the same for two reports' figures to be compared. All values are text, numbers, flags or None."""
    runtime, environment = report["runtime"], report["environment"]
    return {
        "device_class": environment["device_class"],
        "cpu_model": environment["cpu_model"],
        "power_mode": environment["power_mode"],
        "runtime": f"{runtime['name']} {runtime['version']}",
        "providers": "+".join(runtime["providers_requested"]),
        # Reports from before configurations had names were all of one.
        "configuration": runtime.get("configuration", "canonical"),
        "threads": runtime["intra_op"],
        "spinning": runtime["spinning"],
        "cpus": len(environment["affinity"]),
    }


def measured_of(reports: Sequence[Mapping[str, Any]]) -> Measured:
    """The figures of one model over its reports; invalid ones never count.

    Raises:
        ValueError: the reports were made under different conditions.
    """
    usable = [report for report in reports if report["validity"]["state"] != "invalid"]
    ignored = len(reports) - len(usable)
    if not usable:
        none = Absent(_why_invalid(reports) if reports else "never measured")
        return Measured(None, dict.fromkeys(METRICS, none), ignored=ignored)
    conditions = conditions_of(usable[0])
    for report in usable[1:]:
        if differing := _differences(conditions, conditions_of(report)):
            raise ValueError(f"reports of different conditions: {differing}")
    energy, source = _energy(usable)
    metrics: dict[MetricName, Maybe[Estimate]] = {
        "p50_latency_ns": pooled("p50_latency_ns", [p50 for report in usable for p50 in _p50s(report)]),
        "cpu_ns": pooled("cpu_ns", [exactly(report["latency"]["cpu_ns_per_inference"]) for report in usable]),
        "energy_j": energy,
    }
    return Measured(conditions, metrics, source, ignored)


def _why_invalid(reports: Sequence[Mapping[str, Any]]) -> str:
    broken = {
        flag["id"]
        for report in reports
        for flag in report["validity"]["flags"]
        if flag["ok"] is False and flag["severity"] == "invalid"
    }
    return f"all {len(reports)} reports are invalid: {', '.join(sorted(broken))}"


def exactly(value: float) -> Estimate:
    """A figure that comes without an interval of its own."""
    return Estimate(value, value, value)


def _p50s(report: Mapping[str, Any]) -> list[Estimate]:
    """The median of each process, or of the only one with the interval that its samples give."""
    latency = report["latency"]
    processes = report.get("replication", {}).get("p50_ns", [])
    if len(processes) > 1:
        return [exactly(p50) for p50 in processes]
    low, high = latency["p50_ci95"] or (latency["p50"], latency["p50"])
    return [Estimate(low, latency["p50"], high)]


def _energy(reports: Sequence[Mapping[str, Any]]) -> tuple[Maybe[Estimate], str | None]:
    """Joules per inference by the best tier that any of the reports has.

    The interval is the spread of the windows: the sensor's own error is the same for both models and cancels in their ratio.
    """
    blocks = [report["energy"] for report in reports if report["energy"]]
    if not blocks:
        return Absent(reports[0]["reasons"]["/energy"]), None
    best = min(block["tier"] for block in blocks)
    source = next(_source(block) for block in blocks if block["tier"] == best)
    alike = [block for block in blocks if _source(block) == source]
    return pooled("energy_j", [_joules(block) for block in alike]), source


def _source(block: Mapping[str, Any]) -> str:
    calibrated = f" at {block['source']}" if block["method"].startswith("cputime") else ""
    return f"{block['method']} of {block['scope']}{calibrated}"


def _joules(block: Mapping[str, Any]) -> Estimate:
    median, windows = block["median"], block["windows_n"]
    half = 2 * 1.4826 * block["mad"] / math.sqrt(windows)
    return Estimate(max(0.0, median - half), median, median + half)


def pooled(metric: MetricName, parts: Sequence[Estimate]) -> Estimate:
    """Several reports' figures as one: the median and its distribution-free interval.

    Fewer than six have none: then it is their whole range, widened by what processes of one model differ by.
    """
    mids = sorted(part.mid for part in parts)
    mid = statistics.median(mids)
    interval = median_interval(mids)
    if interval is not None:
        return Estimate(interval[0], mid, interval[1], len(parts))
    margin = _BETWEEN_PROCESSES[metric]
    low, high = min(part.low for part in parts), max(part.high for part in parts)
    return Estimate(low * (1 - margin), mid, high * (1 + margin), len(parts))


def compare(a: Candidate, b: Candidate) -> Comparison:
    """Every proxy against every metric."""
    differing = _differences(a.measured.conditions, b.measured.conditions)
    verdicts: list[Verdict] = []
    missing: dict[str, str] = {}
    for proxy, metric in itertools.product(PROXIES, METRICS):
        promised = _ratio_of_band(a, b, proxy)
        found = (
            Absent(f"measured under different conditions: {differing}") if differing else _measured_ratio(a, b, metric)
        )
        if isinstance(promised, Absent) or isinstance(found, Absent):
            missing[f"{proxy}-vs-{metric}"] = "; ".join(
                part.reason for part in (promised, found) if isinstance(part, Absent)
            )
        else:
            verdicts.append(Verdict(proxy, metric, promised, found))
    return Comparison(a.id, b.id, tuple(verdicts), missing)


def _ratio_of_band(a: Candidate, b: Candidate, proxy: ProxyName) -> Maybe[Estimate]:
    ours, theirs = _positive(a.id, a.proxies[proxy]), _positive(b.id, b.proxies[proxy])
    if isinstance(ours, Absent) or isinstance(theirs, Absent):
        return ours if isinstance(ours, Absent) else theirs
    ends = sorted((theirs.low / ours.low, theirs.high / ours.high))
    return Estimate(ends[0], theirs.mid / ours.mid, ends[1])


def _measured_ratio(a: Candidate, b: Candidate, metric: MetricName) -> Maybe[Estimate]:
    ours, theirs = _positive(a.id, a.measured.metrics[metric]), _positive(b.id, b.measured.metrics[metric])
    if isinstance(ours, Absent) or isinstance(theirs, Absent):
        return ours if isinstance(ours, Absent) else theirs
    if metric == "energy_j" and a.measured.energy_source != b.measured.energy_source:
        return Absent(f"{a.id} by {a.measured.energy_source}, {b.id} by {b.measured.energy_source}")
    return Estimate(theirs.low / ours.high, theirs.mid / ours.mid, theirs.high / ours.low, min(ours.n, theirs.n))


def _positive(name: str, figure: Maybe[Estimate]) -> Maybe[Estimate]:
    """The figure, if a ratio can be made of it."""
    if isinstance(figure, Absent):
        return Absent(f"{name}: {figure.reason}")
    return figure if figure.low > 0 else Absent(f"{name}: {figure.low:g} gives no ratio")


PROXY_WORDS: dict[ProxyName, str] = {
    "macs": "MACs",
    "size_bytes": "bytes of the file",
    "analytic_j": "analytic energy",
}
METRIC_WORDS: dict[MetricName, str] = {
    "p50_latency_ns": "median latency",
    "cpu_ns": "CPU time",
    "energy_j": "measured energy",
}


def sentence(verdict: Verdict, comparison: Comparison) -> str:
    """A verdict in words, such as "bytes of the file: int8 is 0.29 x fp32; median latency: 2.01 x (1.93 to 2.09): they disagree"."""
    measured = verdict.metric_ratio
    found = f"{METRIC_WORDS[verdict.metric]}: {measured.mid:.2f} x ({measured.low:.2f} to {measured.high:.2f})"
    ending = {
        "agree": "they agree",
        "disagree": f"they disagree, {comparison.a if verdict.metric_prefers == 'a' else comparison.b} is cheaper where it was measured",
        "unconfirmed": "no difference beyond noise was measured",
        "unforeseen": "the graph does not show it",
        "same": "no difference in either",
    }[verdict.state]
    promise = f"{comparison.b} is {verdict.proxy_ratio.mid:.2f} x {comparison.a}"
    return f"{PROXY_WORDS[verdict.proxy]}: {promise}; {found}: {ending}"


def _differences(a: Mapping[str, Any] | None, b: Mapping[str, Any] | None) -> str:
    """The conditions that are not the same, in words; empty where all are or there are none to compare."""
    if a is None or b is None:
        return ""
    return ", ".join(f"{name} {a[name]} and {b[name]}" for name in a if a[name] != b[name])
