"""One benchmark of one model, from a bare process to its figures. Child side; the order of the steps is the method.

Heavy imports happen inside, because their time and memory are measured: baseline, runtime, model, inputs, first inference
and warm-up, timed windows; only then whatever else the report wants to know (`compose`).
"""

import hashlib
import importlib
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from benchmarks import affinity, environment
from benchmarks.configurations import Configuration
from benchmarks.energy import EnergyLog
from benchmarks.environment import PowerSupply
from benchmarks.errors import InferenceFailed, ModelUnloadable
from benchmarks.evidence import EvidenceLog
from benchmarks.memory import Phase, PhaseMeter
from benchmarks.page_cache import PageCache, page_cache_of
from benchmarks.report import Maybe
from benchmarks.tiers import TIERS, TierPlan
from benchmarks.timing import Warmup, Window, run_windows, warm_up

if TYPE_CHECKING:  # importing these for real would load the runtime before its import is timed
    from benchmarks.samples import SampleSet
    from benchmarks.session import Model

_READ_BYTES = 1 << 20
_SEED = 0
_MAX_CYCLE = 256
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Workload:
    """What is fed: a cycle of inputs, where they come from, and the sample set they were taken from, if any."""

    feeds: list[dict[str, Any]]
    source: str
    bound_shapes: dict[str, tuple[int, ...]]
    samples: "SampleSet | None" = None


@dataclass(slots=True)
class ColdStart:
    """Milliseconds of each step of a cold start, and whether the file was in memory before it was read."""

    import_ms: float = 0.0
    file_read_ms: float = 0.0
    session_create_ms: float = 0.0
    first_inference_ms: float = 0.0
    page_cache: PageCache = "unknown"


@dataclass(slots=True)
class Run:
    """What one run left behind, before it is put into words. `threads` are those that the runtime really had."""

    plan: TierPlan
    started_at: datetime
    configuration: Configuration
    affinity: list[int]
    threads: int
    before: Mapping[str, Any]
    model: "Model"
    model_sha256: str
    model_bytes: int
    workload: Workload
    cold: ColdStart
    phases: dict[str, Phase]
    phase_method: str
    pss_uss: tuple[Maybe[int], Maybe[int]]
    warmup: Warmup
    windows: list[Window]
    involuntary_switches: int
    energy: EnergyLog = field(repr=False)
    evidence: EvidenceLog = field(repr=False)
    power: PowerSupply

    @property
    def timed_s(self) -> float:
        """Wall seconds of all windows."""
        return sum(window.wall_ns for window in self.windows) / 1e9

    @property
    def n(self) -> int:
        """Timed inferences."""
        return sum(len(window.latencies_ns) for window in self.windows)


def benchmark(request: Mapping[str, Any]) -> dict[str, Any]:
    """Measure the model of the request and return the report."""
    started = time.perf_counter()
    run = measure(request)
    from benchmarks.compose import report_of

    return report_of(run, request, started=started)


def measure(request: Mapping[str, Any]) -> Run:
    """Take every figure that must be taken in order.

    Raises:
        ModelUnloadable: the runtime refuses the file.
        ProviderUnavailable: the runtime has not an execution provider of the request.
        InferenceFailed: the model refuses the inputs.
        SamplesUnreadable: the sample set is broken or made for another model.
    """
    started_at = datetime.now(UTC)
    configuration = Configuration(**request["configuration"])
    cpus = affinity.pin(configuration.intra_op) if configuration.pinned else affinity.allowed_cpus()
    before = environment.before_run()
    cold, meter = ColdStart(), PhaseMeter()
    phases = {"baseline": meter.end_phase()}
    session, cold.import_ms = _timed(lambda: importlib.import_module("benchmarks.session"))
    phases["runtime"] = meter.end_phase()
    cold.page_cache = page_cache_of(Path(request["model"]))
    digest, size, cold.file_read_ms = _read(Path(request["model"]))
    threads_before = _threads()
    model, cold.session_create_ms = _timed(
        lambda: session.open_model(
            request["model"],
            intra_op=configuration.intra_op,
            spinning=configuration.spinning,
            providers=request["providers"],
        )
    )
    threads = 1 + _threads() - threads_before
    phases["load"] = meter.end_phase()
    workload = workload_of(session, model, request)
    infer = inference_of(model, workload.feeds)
    phases["inputs"] = meter.end_phase()
    _, cold.first_inference_ms = _timed(lambda: _first_inference(session, infer, request))
    with EnergyLog(TIERS[request["tier"]], watts=request["watts"], avoid=cpus) as energy:
        energy.baseline()  # the model is loaded and has run once: net energy is what running it adds to that
        warmup = session.translate(lambda: warm_up(infer, energy.plan), InferenceFailed)
        phases["run"] = meter.end_phase()
        evidence = EvidenceLog(cpus=cpus if configuration.pinned else ())
        switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
        at_edge = _both(energy.at_edge, evidence.at_edge)
        windows = session.translate(lambda: run_windows(infer, energy.plan, at_edge), InferenceFailed)
        switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw - switches
    phases["timed"] = meter.end_phase()
    return Run(
        plan=energy.plan,
        started_at=started_at,
        configuration=configuration,
        affinity=cpus,
        threads=threads,
        before=before,
        model=model,
        model_sha256=digest,
        model_bytes=size,
        workload=workload,
        cold=cold,
        phases=phases,
        phase_method=meter.method,
        pss_uss=meter.shares(),
        warmup=warmup,
        windows=windows,
        involuntary_switches=switches,
        energy=energy,
        evidence=evidence,
        power=environment.power_supply(),
    )


def _both(first: Callable[[], None], second: Callable[[], None]) -> Callable[[], None]:
    def read() -> None:
        first()
        second()

    return read


def _threads() -> int:
    """Threads of this process."""
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def _first_inference(session: Any, infer: Callable[[int], object], request: Mapping[str, Any]) -> None:
    try:
        session.translate(lambda: infer(0), InferenceFailed)
    except InferenceFailed as error:
        if request["samples"] is not None:
            raise
        raise InferenceFailed(f"{error} (the inputs were generated: give samples, or the shapes of inputs)") from error


def _timed(step: Callable[[], _T]) -> tuple[_T, float]:
    """The result of a step and its wall milliseconds."""
    started = time.perf_counter_ns()
    result = step()
    return result, round((time.perf_counter_ns() - started) / 1e6, 3)


def _read(path: Path) -> tuple[str, int, float]:
    """Digest, size and milliseconds of reading alone. Read in pieces, so that it costs no memory."""
    sha256, size, read_ns = hashlib.sha256(), 0, 0
    try:
        with path.open("rb", buffering=0) as file:
            while True:
                asked = time.perf_counter_ns()
                piece = file.read(_READ_BYTES)
                read_ns += time.perf_counter_ns() - asked
                if not piece:
                    return sha256.hexdigest(), size, round(read_ns / 1e6, 3)
                sha256.update(piece)
                size += len(piece)
    except OSError as error:
        raise ModelUnloadable(f"{path} cannot be read: {error.strerror}") from error


def inference_of(model: "Model", feeds: list[dict[str, Any]]) -> Callable[[int], object]:
    """One inference by number, over the cycle of inputs; bare, since this is what is timed."""
    run, names, cycle = model.session.run, model.output_names, len(feeds)

    def infer(index: int) -> object:
        return run(names, feeds[index % cycle])

    return infer


def workload_of(session: Any, model: "Model", request: Mapping[str, Any]) -> Workload:
    """The inputs that a request asks for; `session` is the module, which must not be imported at the top of this one."""
    if request["samples"] is None:
        shapes = session.bind_shapes(model, request["shapes"])
        return Workload([session.random_feeds(model, shapes, seed=_SEED)], f"random:{_SEED}", shapes)
    from benchmarks.samples import read_samples
    from benchmarks.scoring import file_sha256

    path = Path(request["samples"])
    samples = read_samples(path, model.inputs)
    feeds = [samples.feeds(index, model.inputs) for index in range(min(samples.n, _MAX_CYCLE))]
    shapes = {name: array.shape for name, array in feeds[0].items()}
    return Workload(feeds, f"dataset:{file_sha256(path)}", shapes, samples)
