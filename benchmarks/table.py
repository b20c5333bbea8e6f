"""A report as lines for a person. What is absent is said with its reason, like in the report."""

from collections.abc import Iterator, Mapping
from typing import Any

_WIDTH = 12


def table(report: Mapping[str, Any], name: str) -> list[str]:
    """The lines of the table."""
    return [f"{label:{_WIDTH}} {text}" for label, text in _rows(report, name)]


def _rows(report: Mapping[str, Any], name: str) -> Iterator[tuple[str, str]]:
    artifact, runtime, work = report["artifact"], report["runtime"], report["workload"]
    yield "model", f"{name}, {artifact['bytes'] / 1e6:.3f} MB, sha256 {artifact['model_sha256'][:12]}"
    threads = (
        f"{runtime['threads']} thread{'s' if runtime['threads'] > 1 else ''}{', pinned' if runtime['pinned'] else ''}"
    )
    yield (
        "runtime",
        f"{runtime['name']} {runtime['version']}, {runtime['configuration']}: {threads}, {_placement(runtime)}",
    )
    yield "run", f"{work['tier']}, {work['n']} inferences in {work['timed_s']:g} s, input {work['input'][:24]}"
    yield "processes", _processes(report["replication"])
    yield "validity", _validity(report["validity"])
    yield from _times(report)
    yield "device", _device(report)
    yield "memory", _memory(report["memory"])
    yield "energy", _energy(report)
    yield "accuracy", _accuracy(report)
    if artifact["static"]:
        yield "static", _static(artifact["static"])
    if report["analytic"]:
        yield "analytic", _analytic(report["analytic"])


def _placement(runtime: Mapping[str, Any]) -> str:
    placed = runtime["nodes_per_provider"]
    wanted = ", ".join(runtime["providers_requested"])
    if placed is None:
        return f"{wanted} asked for, placement unknown"
    return f"nodes on {', '.join(f'{name} {count}' for name, count in placed.items())} ({wanted} asked for)"


def _validity(validity: Mapping[str, Any]) -> str:
    failed = [
        f"{flag['id']} is {flag['value']}, limit {flag['limit']}" for flag in validity["flags"] if flag["ok"] is False
    ]
    return f"{validity['state']}{': ' if failed else ''}{'; '.join(failed)}"


def _processes(replication: Mapping[str, Any]) -> str:
    medians = ", ".join(duration(median) for median in replication["p50_ns"])
    if replication["p50_cv"] is None:
        return f"1, p50 {medians}"
    interval = replication["p50_ci95"]
    certainty = f", 95 % CI {duration(interval[0])} to {duration(interval[1])}" if interval else ""
    return f"{replication['processes']}, p50 {medians} (CV {100 * replication['p50_cv']:.2f} %{certainty})"


def _times(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    latency, cold = report["latency"], report["cold_start"]
    interval = latency["p50_ci95"]
    certainty = f" (95 % CI {duration(interval[0])} to {duration(interval[1])})" if interval else ""
    yield (
        "latency",
        f"p50 {duration(latency['p50'])}{certainty}, mean {duration(latency['mean'])}, max {duration(latency['max'])}",
    )
    tails = [
        f"{key} {duration(latency[key])}, at most {duration(latency[f'{key}_upper99'])} with 99 % confidence"
        if latency[key] is not None
        else f"{key} {report['reasons'][f'/latency/{key}']}"
        for key in ("p90", "p99")
    ]
    yield from (("tail", tail) for tail in tails)
    contention = report["contention"]
    waited, pressure = (_share(contention[key]) for key in ("run_delay_share", "psi_some_share"))
    evidence = f"share {contention['cpu_share']:.3f}, waited for it {waited}, pressure {pressure}"
    yield "CPU", f"{duration(latency['cpu_ns_per_inference'])} per inference, {evidence}"
    steps = [
        f"{step} {cold[f'{step}_ms']:.1f}" for step in ("import", "file_read", "session_create", "first_inference")
    ]
    yield "cold start", f"{', '.join(steps)} ms, page cache {cold['page_cache']}"


def _device(report: Mapping[str, Any]) -> str:
    throttling, environment = report["throttling"], report["environment"]
    said = [f"power {environment[key]}" for key in ("power_source", "power_mode") if environment[key] is not None]
    if throttling is None:
        return ", ".join([*said, f"throttling unknown: {report['reasons']['/throttling']}"])
    if throttling["temp_max_c"] is not None:
        said.append(f"at most {throttling['temp_max_c']:.1f} C")
    if throttling["freq_ratio_min"] is not None:
        said.append(f"at least {100 * throttling['freq_ratio_min']:.0f} % of the highest frequency")
    return ", ".join([*said, f"throttling {throttling['evidence']}"])


def _memory(memory: Mapping[str, Any]) -> str:
    phases = ("runtime_rss", "load_peak", "run_peak", "model_attributable_peak")
    named = [f"{phase} {_mib(memory[phase])}" for phase in (*phases, "runtime_peak_activation")]
    return f"{', '.join(named)} ({memory['method']})"


def _energy(report: Mapping[str, Any]) -> str:
    energy = report["energy"]
    if energy is None:
        return f"none: {report['reasons']['/energy']}"
    net, known = energy["j_per_inference_net"], energy["u_rel_pct"]
    parts = [f"{energy['median']:.3g} J per inference gross"]
    if net is not None:
        parts.append(f"{net:.3g} J net of {energy['idle_w']:.3g} W idle")
        busy_s = report["latency"]["cpu_ns_per_inference"] / 1e9
        parts += [f"{net / busy_s:.3g} W per busy core"] if busy_s else []
    parts.append(f"{energy['method']} {energy['source']} of {energy['scope']} (tier {energy['tier']})")
    parts.append("uncertainty unknown" if known is None else f"+- {known:.2g} %")
    return ", ".join(parts)


def _accuracy(report: Mapping[str, Any]) -> str:
    accuracy = report["accuracy"]
    if accuracy is None:
        return f"none: {report['reasons']['/accuracy']}"
    parts = []
    if accuracy["value"] is not None:
        low, high = accuracy["ci95"]
        parts.append(f"{accuracy['metric']} {accuracy['value']:.4f} (95 % CI {low:.4f} to {high:.4f})")
    if accuracy["golden_agreement"] is not None:
        parts.append(f"agreement with golden outputs {accuracy['golden_agreement']:.4f}")
    return f"{', '.join(parts) or 'outputs are no class scores'}, n {accuracy['n']}"


def _static(static: Mapping[str, Any]) -> str:
    macs = ", ".join(f"{count / 1e6:.3f} M {pair}" for pair, count in static["macs"].items()) or "none"
    peak = static["peak_activation_bytes"]
    activations = "unknown" if peak is None else f"{peak / 1e6:.3f} MB"
    uncounted = f", uncounted {', '.join(static['ops_uncounted'])}" if static["ops_uncounted"] else ""
    return f"MACs {macs}; parameters {static['param_bytes'] / 1e6:.3f} MB, activations {activations}{uncounted}"


def _analytic(analytic: Mapping[str, Any]) -> str:
    newer = analytic.get("at_7nm")
    bounds = {"45 nm": analytic["e_total_j"], **({"7 nm": newer["e_total_j"]} if newer else {})}
    said = [f"{millijoules(low, high)} at {node}" for node, (low, high) in bounds.items()]
    return f"at least {', '.join(said)}, on an assumed chip, not measured"


def millijoules(low: float, high: float) -> str:
    """Bounds in joules as millijoules; bounds that do not differ in what is shown stand once."""
    first, last = f"{low * 1e3:.3g}", f"{high * 1e3:.3g}"
    return f"{first} mJ" if first == last else f"{first} to {last} mJ"


def duration(value: float) -> str:
    """Nanoseconds in the unit a person would use."""
    for unit, scale in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value:.0f} ns"


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def _mib(value: float | None) -> str:
    return "unknown" if value is None else f"{value / 2**20:.1f} MiB"
