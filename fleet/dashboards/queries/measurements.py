"""Benchmark reports rolled up: by variant, and by variant and device class.

A percentile is never averaged over devices: each device stands with the p50 of its newest believable run, and a group of devices with its median
device and the range.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median_low
from uuid import UUID

from fleet.dashboards.queries.names import VariantName, names_of_artifacts
from fleet.measurements.models import BenchmarkReport
from registry.models import ModelLine

Validity = BenchmarkReport.Validity


@dataclass(frozen=True, slots=True)
class Latency:
    """p50 latency over devices: the median device's, and the range."""

    median_ns: int
    lowest_ns: int
    highest_ns: int
    devices: int


@dataclass(frozen=True, slots=True)
class ClassBenchmark:
    """What the runs of one variant on one device class say.

    Attributes:
        latency: None where no run counts.
        peak_memory_bytes: of the worst device; None where it was not measured.
        runs: all, also the ones that do not count.
    """

    name: VariantName | None
    sha256: str
    device_class: str
    latency: Latency | None
    peak_memory_bytes: int | None
    runs: int
    valid_runs: int
    invalid_runs: int

    @property
    def valid_share(self) -> float:
        """Of all runs, how many were valid without a reservation."""
        return self.valid_runs / self.runs


@dataclass(slots=True)
class _Gathered:
    sha256: str = ""
    p50_by_device: dict[UUID, int] = field(default_factory=dict)
    peak_memory_bytes: int | None = None
    runs: int = 0
    valid_runs: int = 0
    invalid_runs: int = 0


def latency_over(p50s: Iterable[int]) -> Latency | None:
    """The median device and the range; of an even number the lower one, so that it is a device's own figure."""
    ordered = sorted(p50s)
    return Latency(median_low(ordered), ordered[0], ordered[-1], len(ordered)) if ordered else None


def latency_by_artifact(model_line: ModelLine) -> dict[int, Latency]:
    """Over all devices that measured an artifact of this line in a run that was not invalid. One query."""
    rows = (
        BenchmarkReport.objects.filter(model_line=model_line)
        .exclude(validity=Validity.INVALID)
        .order_by("received_at")
        .values_list("artifact_id", "device_id", "p50_latency_ns")
    )
    newest: defaultdict[int, dict[UUID, int]] = defaultdict(dict)
    for artifact_id, device_id, p50 in rows.iterator(chunk_size=5000):
        if p50 is not None:
            newest[artifact_id][device_id] = p50
    over = {artifact_id: latency_over(by_device.values()) for artifact_id, by_device in newest.items()}
    return {artifact_id: latency for artifact_id, latency in over.items() if latency is not None}


def benchmarks_by_class(model_line: ModelLine, *, with_invalid: bool) -> list[ClassBenchmark]:
    """One row per variant and device class, in the order of variants. Two queries."""
    rows = (
        BenchmarkReport.objects.filter(model_line=model_line)
        .order_by("received_at")
        .values_list(
            "artifact_id",
            "artifact__sha256",
            "device_class",
            "device_id",
            "validity",
            "p50_latency_ns",
            "peak_memory_bytes",
        )
    )
    gathered: defaultdict[tuple[int, str], _Gathered] = defaultdict(_Gathered)
    for artifact_id, sha256, device_class, device_id, validity, p50, memory in rows.iterator(chunk_size=5000):
        group = gathered[artifact_id, device_class]
        group.sha256 = sha256
        _add(group, device_id, validity, p50, memory, counts=with_invalid or validity != Validity.INVALID)
    names = names_of_artifacts({artifact_id for artifact_id, _ in gathered})
    made = [
        _benchmark(names.get((model_line.pk, artifact_id)), device_class, group)
        for (artifact_id, device_class), group in gathered.items()
    ]
    return sorted(made, key=lambda row: (row.name.variant_id if row.name else 0, row.sha256, row.device_class))


def _add(
    group: _Gathered, device_id: UUID, validity: str, p50: int | None, memory: int | None, *, counts: bool
) -> None:
    group.runs += 1
    group.valid_runs += validity == Validity.VALID
    group.invalid_runs += validity == Validity.INVALID
    if not counts:
        return
    if p50 is not None:
        group.p50_by_device[device_id] = p50
    if memory is not None:
        group.peak_memory_bytes = max(memory, group.peak_memory_bytes or 0)


def _benchmark(name: VariantName | None, device_class: str, group: _Gathered) -> ClassBenchmark:
    return ClassBenchmark(
        name=name,
        sha256=group.sha256,
        device_class=device_class,
        latency=latency_over(group.p50_by_device.values()),
        peak_memory_bytes=group.peak_memory_bytes,
        runs=group.runs,
        valid_runs=group.valid_runs,
        invalid_runs=group.invalid_runs,
    )


def failed_rules(report: object) -> list[str]:
    """The ids of the rules that a report did not keep; none where it carries no rules."""
    validity = report.get("validity") if isinstance(report, dict) else None
    flags = validity.get("flags") if isinstance(validity, dict) else None
    return [str(flag.get("id")) for flag in flags or [] if isinstance(flag, dict) and flag.get("ok") is False]
