"""The limits of a model line, set before its versions are compared, and what a figure means against one. Pure.

The quantities are those of Iandola & Keutzer, "Small Neural Nets Are Beautiful" (ESWEEK 2017, section 2): parameters and activations that fit on
the chip, quality, speed at batch 1, energy per inference; and the size of the file and the peak of memory. A limit is inclusive. What is wanted
beyond it never fails anything.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

KIB = 1024


class Quantity(StrEnum):
    """What may be limited; the unit is in the name."""

    PARAM_AND_ACTIVATION_BYTES = "param_and_activation_bytes"
    FILE_SIZE_BYTES = "file_size_bytes"
    QUALITY = "quality"
    FPS = "fps"
    ENERGY_J = "energy_j"
    PEAK_MEMORY_BYTES = "peak_memory_bytes"


# Known from the file and its evaluations, before any device has run it.
STATIC = (Quantity.PARAM_AND_ACTIVATION_BYTES, Quantity.FILE_SIZE_BYTES, Quantity.QUALITY)
# Known only from devices. Quality is measured there too, where the sample set has labels.
MEASURED = (Quantity.FPS, Quantity.ENERGY_J, Quantity.PEAK_MEMORY_BYTES, Quantity.QUALITY)
AT_LEAST = (Quantity.FPS,)


class Verdict(StrEnum):
    """What a figure means against a limit."""

    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound on one quantity.

    Attributes:
        at_least: the direction: good figures are above the bound, else below it.
        required: the bound; None where something is only wanted.
        wanted: a stricter one that fails nothing.
        metric, dataset_sha256: of quality, which evaluation is meant; an empty data set is any.
    """

    quantity: Quantity
    at_least: bool
    required: float | None = None
    wanted: float | None = None
    metric: str = ""
    dataset_sha256: str = ""

    def keeps(self, value: float, bound: float) -> bool:
        """Whether a figure is on the good side of a bound, or on it."""
        return value >= bound if self.at_least else value <= bound

    def verdict(self, value: float) -> Verdict:
        """Of a figure against what is required; what is only wanted is always kept."""
        return Verdict.PASS if self.required is None or self.keeps(value, self.required) else Verdict.FAIL

    def is_wanted(self, value: float) -> bool | None:
        """Whether a figure is as good as is wanted; None where nothing is."""
        return None if self.wanted is None else self.keeps(value, self.wanted)


@dataclass(frozen=True, slots=True)
class Check:
    """One limit against what is known of one variant, from its file or from one series of runs.

    Attributes:
        value: what is known; None where the verdict is unknown for want of it.
        meets_wanted: None where nothing beyond the limit is wanted, or nothing is known.
        by_devices: they decide it, not the file and its evaluations.
        device_class, conditions: where they measured it.
        devices: that stand behind the figure, and `devices_beyond` of them are on the wrong side of the limit by their own.
        detail: why it is unknown; else what the figure is, where that needs saying.
    """

    limit: Limit
    verdict: Verdict
    value: float | None = None
    meets_wanted: bool | None = None
    by_devices: bool = False
    device_class: str = ""
    conditions: str = ""
    devices: int = 0
    devices_beyond: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A quality as somebody measured it."""

    metric: str
    value: float
    sample_count: int
    dataset_sha256: str = ""


@dataclass(frozen=True, slots=True)
class StaticFacts:
    """What is known of a variant without a device."""

    size_bytes: int
    static_cost: Mapping[str, Any] | None
    evaluations: Sequence[Evaluated] = field(default=())


def parse_limits(document: Mapping[str, Mapping[str, Any]]) -> list[Limit]:
    """The limits of a stored document, in the order of `Quantity`; its shape was checked when it was set."""
    return [_limit(quantity, document[quantity]) for quantity in Quantity if quantity in document]


def _limit(quantity: Quantity, said: Mapping[str, Any]) -> Limit:
    at_least = quantity in AT_LEAST or said.get("at_least") is not None
    return Limit(
        quantity=quantity,
        at_least=at_least,
        required=said.get("at_least") if at_least else said.get("at_most"),
        wanted=said.get("wanted"),
        metric=said.get("metric") or "",
        dataset_sha256=said.get("dataset_sha256") or "",
    )


def worst(checks: Iterable[Check]) -> Verdict:
    """Fail if any fails, else unknown if any is unknown."""
    verdicts = {check.verdict for check in checks}
    return next((each for each in (Verdict.FAIL, Verdict.UNKNOWN) if each in verdicts), Verdict.PASS)


def check_static(limits: Iterable[Limit], facts: StaticFacts) -> list[Check]:
    """The limits that a variant's file and evaluations decide."""
    return [_static(limit, facts) for limit in limits if limit.quantity in STATIC]


def _static(limit: Limit, facts: StaticFacts) -> Check:
    match limit.quantity:
        case Quantity.FILE_SIZE_BYTES:
            return judged(limit, facts.size_bytes)
        case Quantity.QUALITY:
            return _quality(limit, facts.evaluations)
        case _:
            return _on_chip(limit, facts.static_cost)


def _on_chip(limit: Limit, cost: Mapping[str, Any] | None) -> Check:
    if cost is None or cost.get("param_bytes") is None:
        return Check(limit, Verdict.UNKNOWN, detail="the graph was not counted")
    peak = cost.get("peak_activation_bytes")
    if peak is not None:
        return judged(limit, cost["param_bytes"] + peak)
    if limit.required is not None and not limit.keeps(cost["param_bytes"], limit.required):
        return judged(limit, cost["param_bytes"], detail="the parameters alone; the peak of activations is not known")
    return Check(limit, Verdict.UNKNOWN, detail="the peak of activations is not known: a shape could not be inferred")


def _quality(limit: Limit, evaluations: Iterable[Evaluated]) -> Check:
    meant = [
        one for one in evaluations if one.metric == limit.metric and limit.dataset_sha256 in {"", one.dataset_sha256}
    ]
    if not meant:
        where = f" on the data set {limit.dataset_sha256[:12]}" if limit.dataset_sha256 else ""
        return Check(limit, Verdict.UNKNOWN, detail=f"no evaluation of {limit.metric}{where}")
    best_known = max(meant, key=lambda one: one.sample_count)
    return judged(limit, best_known.value, detail=f"{limit.metric} on {best_known.sample_count} samples")


def judged(limit: Limit, value: float, **about: Any) -> Check:
    """The check of a known figure."""
    return Check(limit, limit.verdict(value), value, limit.is_wanted(value), **about)


def bound_text(limit: Limit) -> str:
    """A limit in words: `at most 8,192 KiB`, `at least 15 FPS, wanted 30`."""
    parts = []
    if limit.required is not None:
        parts.append(f"{'at least' if limit.at_least else 'at most'} {_exact_text(limit.quantity, limit.required)}")
    if limit.wanted is not None:
        parts.append(f"wanted {_exact_text(limit.quantity, limit.wanted)}")
    return ", ".join(parts)


def value_text(limit: Limit, value: float | None) -> str:
    """A figure of the limit's quantity with its unit; to more places where it would look like a limit that it is not."""
    if value is None:
        return "\u2013"
    shown = _rounded_text(limit.quantity, value)
    others = [bound for bound in (limit.required, limit.wanted) if bound is not None and bound != value]
    looks_like = {_rounded_text(limit.quantity, bound) for bound in others}
    return _exact_text(limit.quantity, value) if shown in looks_like else shown


def _rounded_text(quantity: Quantity, value: float) -> str:
    match quantity:
        case Quantity.FPS:
            return f"{value:.3g} FPS" if value < 1000 else f"{value:,.0f} FPS"
        case Quantity.ENERGY_J:
            return f"{value:.3g} J"
        case Quantity.QUALITY:
            return f"{value:.4g}"
        case _:
            return f"{value / KIB:,.0f} KiB" if value >= KIB else f"{value:,.0f} B"


def _exact_text(quantity: Quantity, value: float) -> str:
    units = {Quantity.FPS: " FPS", Quantity.ENERGY_J: " J", Quantity.QUALITY: ""}
    if quantity in units:
        return f"{value:.9g}{units[quantity]}"
    return f"{value / KIB:,.0f} KiB" if value >= KIB and value % KIB == 0 else f"{value:,.0f} B"
