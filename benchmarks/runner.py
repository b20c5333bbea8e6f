"""Running one benchmark: the parent side. It starts a fresh child, waits, and hands back the report."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.configurations import CANONICAL, DEFAULT_PROVIDERS, Configuration
from benchmarks.errors import RequestInvalid
from benchmarks.process import Limits, ask_child
from benchmarks.tiers import TIER_NAMES, Tier
from benchmarks.turns import turn


def run_benchmark(
    model: Path,
    *,
    tier: Tier = "rapid",
    samples: Path | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    configuration: Configuration = CANONICAL,
    providers: Sequence[str] = DEFAULT_PROVIDERS,
    timeout_s: float,
    memory_limit_bytes: int | None = None,
    nice: int = 0,
    watts: float | None = None,
    artifact: Mapping[str, Any] | None = None,
    device_class: str | None = None,
) -> dict[str, Any]:
    """Benchmark a model in a fresh child process and return the report (`bench-report/1`).

    Args:
        model: the file; the child opens it by this path.
        tier: how long and how often, see `tiers`.
        samples: inputs to cycle through, and golden outputs and labels for the accuracy block; random inputs without.
        shapes: concrete shapes of inputs by name, for random inputs; other open dimensions are bound to 1.
        configuration: threads, affinity and spinning of the runtime. `CANONICAL` is what compares over a fleet.
        providers: execution providers in order of preference.
        timeout_s: wall seconds for the run, after which the child is killed; and the longest wait for another
            benchmark on this machine to end.
        memory_limit_bytes: bound on the child's private memory.
        nice: added to the child's niceness.
        watts: power of one busy core, for an energy figure where the device has no counter.
        artifact: what the caller knows about the file, as `StaticCost.as_artifact` gives it, and `variant_of_sha256`.
        device_class: the caller's name for this kind of device.

    Raises:
        BenchmarkError: the subclass says what went wrong, see `errors`.
    """
    if tier not in TIER_NAMES:
        raise RequestInvalid(f"tier must be one of {', '.join(TIER_NAMES)}")
    if configuration.intra_op < (1 if configuration.pinned else 0):
        raise RequestInvalid("a pinned process needs a number of threads, at least 1")
    if not providers or len(set(providers)) != len(providers):
        raise RequestInvalid("execution providers must be at least one, each once")
    request = {
        "model": str(model.absolute()),
        "tier": tier,
        "samples": None if samples is None else str(samples.absolute()),
        "shapes": {name: list(shape) for name, shape in (shapes or {}).items()},
        "configuration": asdict(configuration),
        "providers": list(providers),
        "watts": watts,
        "artifact": None if artifact is None else dict(artifact),
        "device_class": device_class,
    }
    limits = Limits(timeout_s, memory_limit_bytes, nice, configuration.most_threads)
    with turn(timeout_s):
        return ask_child("benchmark", request, limits=limits)
