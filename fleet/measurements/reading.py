"""What is read out of a report that keeps its schema: under which conditions it ran, and the figures that are compared. Pure.

Fields that later rulers write are read where they are; a report of before has what its ruler always did.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fleet.errors import EventInvalid

MAX_STORED_INTEGER = 2**63 - 1
MAX_THREADS = 2**31 - 1
# From far below one addition (a tenth of a picojoule) to far above what runs a model: ratios and sums of such figures stay finite.
JOULES_OF_DEVICES = (1e-15, 1e9)


@dataclass(frozen=True, slots=True)
class Conditions:
    """What must be the same for two runs of a model to stand in one series."""

    device_class: str
    runtime: str
    configuration: str
    threads: int
    providers: str
    power_mode: str


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one run; None where it has none.

    Attributes:
        p50_latency_ns: the headline: of the processes' own medians the median one, where there were several.
        cpu_ns: CPU time per inference.
        peak_memory_bytes: of loading and running, the runtime included.
        energy_j: per inference, by `energy_source`, which says method and scope; joules of different sources do not compare.
        accuracy: top-1 on the labelled samples, with its 95 % interval.
    """

    p50_latency_ns: int | None
    cpu_ns: int | None
    peak_memory_bytes: int | None
    energy_j: float | None = None
    energy_source: str = ""
    energy_tier: int | None = None
    accuracy: float | None = None
    accuracy_ci_low: float | None = None
    accuracy_ci_high: float | None = None


def conditions_of(report: Mapping[str, Any], *, device_class: str) -> Conditions:
    """The conditions of a run; `device_class` is what the server knows of the device, where the report does not say one."""
    runtime, environment = report["runtime"], report["environment"]
    return Conditions(
        device_class=(environment["device_class"] or device_class)[:64],
        runtime=f"{runtime['name']} {runtime['version']}"[:100],
        configuration=_configuration(report)[:40],
        threads=min(runtime.get("threads", runtime["intra_op"]), MAX_THREADS),
        providers="+".join(runtime["providers_requested"])[:200],
        power_mode=(environment["power_mode"] or "")[:100],
    )


def _configuration(report: Mapping[str, Any]) -> str:
    """As it is named; the first rulers did not, and ran one pinned thread unless a person told them otherwise."""
    runtime = report["runtime"]
    if "configuration" in runtime:
        return str(runtime["configuration"])
    return "canonical" if runtime["intra_op"] == 1 and len(report["environment"]["affinity"]) == 1 else "custom"


def figures_of(report: Mapping[str, Any]) -> Figures:
    """The figures of a run.

    Raises:
        EventInvalid: a number is beyond every device, and beyond what a database stores.
    """
    memory, energy, accuracy = report["memory"], report["energy"], report["accuracy"]
    peaks = [memory[phase] for phase in ("load_peak", "run_peak") if memory[phase] is not None]
    low, high = (accuracy and accuracy["ci95"]) or (None, None)
    figures = Figures(
        p50_latency_ns=_headline_ns(report),
        cpu_ns=report["latency"]["cpu_ns_per_inference"],
        peak_memory_bytes=max(peaks, default=None),
        energy_j=energy["median"] if energy else None,
        energy_source=f"{energy['method']} of {energy['scope']}" if energy else "",
        energy_tier=energy["tier"] if energy else None,
        accuracy=accuracy["value"] if accuracy else None,
        accuracy_ci_low=low,
        accuracy_ci_high=high,
    )
    for name in ("p50_latency_ns", "cpu_ns", "peak_memory_bytes"):
        if (getattr(figures, name) or 0) > MAX_STORED_INTEGER:
            raise EventInvalid(f"{name} is beyond every device: {getattr(figures, name)}")
    least, most = JOULES_OF_DEVICES
    if figures.energy_j and not least <= figures.energy_j <= most:
        raise EventInvalid(f"energy_j is beyond every device: {figures.energy_j:g}")
    return figures


def _headline_ns(report: Mapping[str, Any]) -> int | None:
    over_processes = (report.get("replication") or {}).get("p50_median_ns")
    return int(report["latency"]["p50"] if over_processes is None else over_processes)
