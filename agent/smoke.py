"""The smoke run: does a staged model load, have its contract's ports, and give its golden outputs?

The questions are answered by children of the ruler; this process imports neither numpy nor the runtime.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent import wire
from agent.config import Children
from agent.errors import SmokeFailed, WireInvalid
from agent.vigil import vigil
from agent.wire import Limits, Tolerances
from benchmarks.errors import BenchmarkError, ChildTimedOut

# What `check_samples` uses where the publisher stated nothing.
DEFAULT_TOLERANCE = 1e-3
MIB = 1 << 20
MEASURED_SAMPLES = 64

# By side (`inputs`, `outputs`) and name: the shape to generate, or None where the contract leaves it open.
Ports = dict[str, dict[str, list[int] | None]]


@dataclass(frozen=True, slots=True)
class Smoke:
    """A passed smoke run; `samples` is 0 where the model has no sample set."""

    samples: int
    max_abs_error: float | None
    agreement: float | None


def run(model: Path, contract: Path, samples: Path | None, tolerances: Tolerances, *, limits: Children) -> Smoke:
    """Check a model in a child: on its sample set, or where it has none by one inference on generated inputs.

    Raises:
        SmokeFailed: with the ruler's slug as its reason; `is_transient` tells what may pass another time.
    """
    ports = _ports(contract)
    try:
        if samples is None:
            return _on_generated_inputs(model, ports, limits)
        return _on_samples(model, ports, samples, tolerances, limits)
    except BenchmarkError as error:
        raise SmokeFailed(error.slug, str(error)[:500]) from error


def _on_samples(model: Path, ports: Ports, samples: Path, tolerances: Tolerances, limits: Children) -> Smoke:
    from benchmarks.checks import check_samples  # here, as in `agent/measure.py`

    checked = check_samples(
        model,
        samples,
        atol=DEFAULT_TOLERANCE if tolerances.atol is None else tolerances.atol,
        rtol=DEFAULT_TOLERANCE if tolerances.rtol is None else tolerances.rtol,
        min_agreement=tolerances.min_agreement,
        timeout_s=limits.timeout_s,
        memory_limit_bytes=limits.memory_limit_mib * MIB,
        nice=limits.nice,
    )
    _check_ports(ports, inputs=checked.inputs, outputs=checked.outputs)
    if checked.problem is not None:
        raise SmokeFailed("golden-outputs", checked.problem[:500])
    return Smoke(checked.n, checked.max_abs_error, checked.agreement)


def _on_generated_inputs(model: Path, ports: Ports, limits: Children) -> Smoke:
    from benchmarks.checks import load_check  # here, as in `agent/measure.py`

    loaded = load_check(
        model,
        shapes={name: shape for name, shape in ports["inputs"].items() if shape is not None},
        timeout_s=limits.timeout_s,
        memory_limit_bytes=limits.memory_limit_mib * MIB,
        nice=limits.nice,
    )
    _check_ports(ports, inputs=loaded.input_shapes, outputs=loaded.output_shapes)
    if loaded.problem is not None:
        raise SmokeFailed("not-finite", loaded.problem)
    return Smoke(0, None, None)


def measure(model: Path, samples: Path | None, wanted: Limits, *, limits: Children) -> None:
    """Hold a model to what its publisher signed of its latency and memory, in a child; nothing where nothing is signed.

    Latency is the median of single inferences, of CPU time where something else held the core: the figures of the shadow run
    (benchmarks/comparing.py), which holds nothing against a model that only had to wait.

    Raises:
        SmokeFailed: a limit is broken, or the model could not be measured.
    """
    if wanted == Limits():
        return
    from benchmarks.shadow import MAX_CHILDREN, compare_models  # here, as in `agent/measure.py`

    try:
        with vigil.allow(MAX_CHILDREN * limits.timeout_s):
            found = compare_models(
                model,
                None,
                samples=samples,
                recent=None,
                min_samples=1,
                max_samples=MEASURED_SAMPLES,
                timeout_s=limits.timeout_s,
                memory_limit_bytes=limits.memory_limit_mib * MIB,
                nice=limits.nice,
            )
    except BenchmarkError as error:
        raise SmokeFailed(error.slug, str(error)[:500]) from error
    _hold("latency-limit", found.latency_ns, wanted.p50_latency_ns, f"ns of {found.latency_basis} time, median")
    _hold("memory-limit", found.memory_bytes, wanted.peak_memory_bytes, "bytes for loading and one inference")


def _hold(reason: str, figure: float | None, most: int | None, what: str) -> None:
    if most is not None and figure is not None and figure > most:
        raise SmokeFailed(reason, f"{figure:.0f} {what}, signed is at most {most}")


def is_transient(error: SmokeFailed) -> bool:
    """Whether another run may pass: only time depends on what else the device does."""
    return error.reason == ChildTimedOut.slug


def _ports(contract: Path) -> Ports:
    """Names of the contract's ports, with a concrete shape where it can be bound: open dimensions become 1."""
    try:
        document: Any = wire.parse_json(contract.read_bytes(), "contract")
        return {
            side: {str(port["name"]): _bound(port["shape"]) for port in document[side]}
            for side in ("inputs", "outputs")
        }
    except (WireInvalid, KeyError, TypeError) as error:
        raise SmokeFailed("contract-unreadable", f"the contract cannot be read: {error!r}"[:500]) from error


def _bound(shape: object) -> list[int] | None:
    if not isinstance(shape, list):
        return None
    return [size if isinstance(size, int) and size >= 0 else 1 for size in shape]


def _check_ports(ports: Ports, **actual: Collection[str]) -> None:
    for side, wanted in ports.items():
        missing = sorted(set(wanted) - set(actual[side]))
        if missing:
            raise SmokeFailed("contract-broken", f"the model lacks the contract's {side} {', '.join(missing)[:300]}")
