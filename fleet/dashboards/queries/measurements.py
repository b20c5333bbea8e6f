"""What devices measured, as pages choose from it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fleet.measurements.figures import Spread
from fleet.measurements.queries import SeriesFigures

CANONICAL = "canonical"


@dataclass(frozen=True, slots=True)
class ReferenceLatency:
    """Latency of models under the conditions that most of the line's measurements share: only these compare with each other.

    Attributes:
        where: device class and conditions, in words; empty where nothing was measured.
        by_artifact: by artifact id.
    """

    where: str
    by_artifact: Mapping[int, Spread]


def reference_latency(figures: Sequence[SeriesFigures]) -> ReferenceLatency:
    """Under the canonical conditions in which most models, and of those most devices, were measured."""
    measured = [one for one in figures if one.latency is not None and one.series.configuration == CANONICAL]
    models = Counter(one.series.key for one in measured)
    devices: Counter[tuple[object, ...]] = Counter()
    for one in measured:
        devices[one.series.key] += one.devices
    if not models:
        return ReferenceLatency("", {})
    reference = max(models, key=lambda key: (models[key], devices[key], key))
    chosen = [one for one in measured if one.series.key == reference]
    where = f"{chosen[0].series.device_class or 'no class'} ({chosen[0].series.conditions})"
    return ReferenceLatency(where, {one.series.artifact_id: one.latency for one in chosen if one.latency})


def failed_rules(report: object) -> list[str]:
    """The ids of the rules that a report did not keep; none where it carries no rules."""
    validity = report.get("validity") if isinstance(report, dict) else None
    flags = validity.get("flags") if isinstance(validity, dict) else None
    return [str(flag.get("id")) for flag in flags or [] if isinstance(flag, dict) and flag.get("ok") is False]
