"""Running one benchmark: the parent side. It starts fresh children one after the other, and hands back the report of all of them."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.configurations import CANONICAL, DEFAULT_PROVIDERS, Configuration
from benchmarks.errors import BenchmarkError, RequestInvalid
from benchmarks.process import Limits, ask_child
from benchmarks.tiers import MAX_PROCESSES, TIER_NAMES, TIERS, Tier
from benchmarks.turns import turn

# A profile has about 500 bytes for each kernel of each run (measured), so this is a model of 60,000 nodes.
_PROFILE_CAP_BYTES = 1 << 26
_MEMORY_BACKED = Path("/dev/shm")  # noqa: S108 - a private folder is made in it


def run_benchmark(
    model: Path,
    *,
    tier: Tier = "rapid",
    samples: Path | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    configuration: Configuration = CANONICAL,
    providers: Sequence[str] = DEFAULT_PROVIDERS,
    processes: int | None = None,
    timeout_s: float,
    memory_limit_bytes: int | None = None,
    nice: int = 0,
    watts: float | None = None,
    artifact: Mapping[str, Any] | None = None,
    device_class: str | None = None,
) -> dict[str, Any]:
    """Benchmark a model in fresh child processes and return the report (`bench-report/1`).

    Args:
        model: the file; the child opens it by this path.
        tier: how long and how often, see `tiers`.
        samples: inputs to cycle through, and golden outputs and labels for the accuracy block; random inputs without.
        shapes: concrete shapes of inputs by name, for random inputs; other open dimensions are bound to 1.
        configuration: threads, affinity and spinning of the runtime. `CANONICAL` is what compares over a fleet.
        providers: execution providers in order of preference.
        processes: how often the run is repeated, each in a process of its own; by tier without. A headline number needs 3.
        timeout_s: wall seconds for each process, after which it is killed; and the longest wait for another
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
    repeats = _repeats(tier, processes)
    if not 1 <= repeats <= MAX_PROCESSES:
        raise RequestInvalid(f"a benchmark has 1 to {MAX_PROCESSES} processes, not {repeats}")
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
        started = time.perf_counter()
        runs = [ask_child("benchmark", request, limits=limits) for _ in range(repeats)]
        activations = _activations(request, limits)
    duration_s = round(time.perf_counter() - started, 3)
    # In a child too, so that an idle daemon never loads the sketch library.
    return ask_child(
        "conclude", {"runs": runs, "activations": activations, "duration_s": duration_s}, limits=Limits(timeout_s)
    )


def longest_s(tier: Tier, *, processes: int | None, timeout_s: float) -> float:
    """A bound on the wall seconds of `run_benchmark`: its turn, its timed processes, the profiled one and the one that concludes."""
    return (_repeats(tier, processes) + 3) * timeout_s


def _repeats(tier: Tier, processes: int | None) -> int:
    return TIERS[tier].processes if processes is None else processes


def _activations(request: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
    """What a profiled run says, or why there is none; it may fail where the timed ones did not, and must not cost their report."""
    import tempfile  # here, as in `benchmarks/turns.py`

    roomy = replace(limits, file_bytes=_PROFILE_CAP_BYTES)
    try:
        with tempfile.TemporaryDirectory(prefix="smallfleet-profile-", dir=_profile_folder()) as folder:
            return ask_child("activations", {**request, "profile": str(Path(folder) / "profile")}, limits=roomy)
    except (BenchmarkError, OSError) as error:
        return {"peak_bytes": None, "reason": f"the profiled run failed: {error}"}


def _profile_folder() -> Path | None:
    """Memory rather than the device's flash, where there is a place for it."""
    return _MEMORY_BACKED if os.access(_MEMORY_BACKED, os.W_OK | os.X_OK) else None
