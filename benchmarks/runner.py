"""Running one benchmark: the parent side. It starts a fresh child, waits, and hands back the report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
    intra_op: int = 1,
    pin: bool = True,
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
        intra_op: threads of the runtime. One, pinned, is the number that compares over a fleet.
        pin: bind the child to as many CPUs as it has threads.
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
    if tier not in TIER_NAMES or intra_op < 1:
        raise RequestInvalid(f"tier must be one of {', '.join(TIER_NAMES)} and threads at least 1")
    request = {
        "model": str(model.absolute()),
        "tier": tier,
        "samples": None if samples is None else str(samples.absolute()),
        "shapes": {name: list(shape) for name, shape in (shapes or {}).items()},
        "intra_op": intra_op,
        "pin": pin,
        "watts": watts,
        "artifact": None if artifact is None else dict(artifact),
        "device_class": device_class,
    }
    limits = Limits(timeout_s, memory_limit_bytes, nice, intra_op)
    with turn(timeout_s):
        return ask_child("benchmark", request, limits=limits)
