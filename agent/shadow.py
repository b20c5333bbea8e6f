"""The shadow run: does the candidate answer like the model it would replace, on this device's own inputs, and as fast?

The question is answered by a child of the ruler; the limits are the owner's, in `[shadow]`. Without a limit it only reports.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.config import Config, Shadow
from agent.errors import ShadowFailed
from agent.vigil import vigil
from benchmarks.errors import BenchmarkError, ChildTimedOut

if TYPE_CHECKING:
    from benchmarks.shadow import Comparison

MIB = 1 << 20
NS_PER_MS = 1e6


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a candidate may not become current: a slug and the figures."""

    reason: str
    detail: str


def run(candidate: Path, current: Path | None, samples: Path | None, config: Config) -> "Comparison":
    """Compare two models in a child.

    Raises:
        ShadowFailed: the candidate took the child down, or there was no answer in time.
    """
    from benchmarks.shadow import MAX_CHILDREN, compare_models  # here, as in `agent/measure.py`

    limits, shadow = config.children, config.shadow
    try:
        with vigil.allow(MAX_CHILDREN * limits.timeout_s):
            return compare_models(
                candidate,
                current,
                samples=samples,
                recent=shadow.inputs,
                min_samples=shadow.min_samples,
                max_samples=shadow.max_samples,
                timeout_s=limits.timeout_s,
                memory_limit_bytes=limits.memory_limit_mib * MIB,
                nice=limits.nice,
            )
    except BenchmarkError as error:
        raise ShadowFailed(error.slug, str(error)[:500]) from error


def is_transient(error: ShadowFailed) -> bool:
    """Whether another run may pass: only time depends on what else the device does."""
    return error.reason == ChildTimedOut.slug


def judge(found: "Comparison", limits: Shadow) -> Objection | None:
    """The first objection that the owner's limits give rise to; `None` when the candidate may become current."""
    return next(_objections(found, limits), None)


def _objections(found: "Comparison", limits: Shadow) -> Iterator[Objection]:
    if found.refused is not None:
        yield Objection("input-refused", f"refuses an input that the current model takes: {found.refused}")
    if found.newly_not_finite:
        where = f"{found.newly_not_finite} of {found.samples} samples"
        yield Objection("not-finite", f"NaN or infinity where the current model gives numbers, in {where}")
    if found.samples >= limits.min_samples:
        yield from _above("disagreement", found.disagreement, limits.max_disagreement, f"of {found.samples} samples")
        yield from _above("abs-error", found.max_abs_error, limits.max_abs_error, f"over {found.samples} samples")
    basis = {"cpu": "CPU time", "wall": "wall time"}[found.latency_basis]
    ratio_of = f"times the {basis} of the current model"
    yield from _above("latency-ratio", found.latency_ratio, limits.max_latency_ratio, ratio_of)
    latency_ms = None if found.latency_ns is None else found.latency_ns / NS_PER_MS
    yield from _above("latency-ms", latency_ms, limits.max_latency_ms, f"ms of {basis}, median")
    memory_mib = None if found.memory_bytes is None else found.memory_bytes / MIB
    yield from _above("memory-mib", memory_mib, limits.max_memory_mib, "MiB for loading and one inference")


def _above(name: str, figure: float | None, limit: float | None, what: str) -> Iterator[Objection]:
    if figure is not None and limit is not None and figure > limit:
        yield Objection(name, f"{figure:.4g} {what}, allowed is {limit:g}")


def event_detail(found: "Comparison", *, vetoed: bool) -> Mapping[str, Any]:
    """The `shadowed` event's detail, as docs/wire.md has it."""
    return {
        "source": found.source,
        "samples": found.samples,
        "disagreement": found.disagreement,
        "max_abs_error": found.max_abs_error,
        "mean_abs_error": found.mean_abs_error,
        "latency_ratio": found.latency_ratio,
        "latency_basis": found.latency_basis,
        "latency_ms": None if found.latency_ns is None else found.latency_ns / NS_PER_MS,
        "memory_bytes": found.memory_bytes,
        "skipped": found.skipped,
        "why_not": found.why_not,
        "vetoed": vetoed,
    }
