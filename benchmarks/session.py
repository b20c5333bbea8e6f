"""Opening a model in ONNX Runtime, the same way for timing, checking and accuracy. Child side.

One set of options for all three is a rule of MLPerf Tiny: the code whose accuracy is claimed is the code that is timed.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as native

from benchmarks.configurations import DEFAULT_PROVIDERS
from benchmarks.errors import InferenceFailed, MemoryExceeded, ModelUnloadable, ProviderUnavailable, RequestInvalid
from benchmarks.ports import Port
from benchmarks.report import Absent

_SPINNING = "session.intra_op.allow_spinning"
# Which node ran where is only known to a session that was told to remember it.
_RECORD_PLACEMENT = "session.record_ep_graph_assignment_info"

_NATIVE_ERRORS: tuple[type[Exception], ...] = (
    native.EPFail,
    native.EngineError,
    native.Fail,
    native.InvalidArgument,
    native.InvalidGraph,
    native.InvalidProtobuf,
    native.ModelLoaded,
    native.NoModel,
    native.NoSuchFile,
    native.NotImplemented,
    native.RuntimeException,
)
_OUT_OF_MEMORY_WORDS = ("bad allocation", "bad_alloc", "Failed to allocate memory")
_MESSAGE_CAP = 300
_T = TypeVar("_T")

# ONNX Runtime's names of tensor element types.
_DTYPES: dict[str, str] = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(bool)": "bool",
    **{f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


# As the report's schema has them, by ONNX Runtime's names.
_GRAPH_OPTIMISATION = {
    "ORT_DISABLE_ALL": "none",
    "ORT_ENABLE_BASIC": "basic",
    "ORT_ENABLE_EXTENDED": "extended",
    "ORT_ENABLE_LAYOUT": "layout",
    "ORT_ENABLE_ALL": "all",
}


@dataclass(slots=True)
class Model:
    """A loaded model. `run` takes arrays by input name and returns arrays in the order of `outputs`."""

    session: Any
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    providers_requested: tuple[str, ...] = DEFAULT_PROVIDERS
    output_names: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.output_names = [port.name for port in self.outputs]

    def run(self, feeds: Mapping[str, np.ndarray[Any, Any]]) -> list[Any]:
        """One inference.

        Raises:
            InferenceFailed: the runtime refuses the inputs, or a kernel fails.
        """
        return translate(lambda: self.session.run(self.output_names, feeds), InferenceFailed)


def open_model(
    path: str,
    *,
    intra_op: int = 1,
    spinning: bool | None = False,
    providers: Sequence[str] = DEFAULT_PROVIDERS,
    profile: Path | None = None,
) -> Model:
    """Load the model from its path; passing bytes would cost one more copy of the file in memory.

    Args:
        path: the file.
        intra_op: threads inside an operator; 0 leaves number and affinity to the runtime.
        spinning: whether the runtime's idle threads spin; None leaves it to the runtime. Off by default: on a device with other work, or under
            a CPU quota, spinning doubles the cost (measured: 4.9 ms of CPU time per inference against 9.0).
        providers: execution providers in order of preference.
        profile: write the runtime's profile beside this path. Never in a timed run: it costs up to a third.

    Raises:
        ModelUnloadable: the file is not there or the runtime refuses it.
        ProviderUnavailable: a provider is not in this build of the runtime, or does not start on this device.
    """
    if not Path(path).is_file():
        raise ModelUnloadable(f"{path} is not a file")
    _require(providers, onnxruntime.get_available_providers(), "this build of the runtime has")
    options = _session_options(intra_op, spinning=spinning, profile=profile)
    # Without enable_fallback=0 a provider that fails would be replaced by the CPU and only standard output would say so.
    session = translate(
        lambda: onnxruntime.InferenceSession(path, options, providers=list(providers), enable_fallback=0),
        ModelUnloadable,
    )
    _require(providers, session.get_providers(), "on this device the runtime started")
    ports = tuple(map(_port, session.get_inputs())), tuple(map(_port, session.get_outputs()))
    return Model(session, *ports, tuple(providers))


def _require(wanted: Sequence[str], present: Sequence[str], who_has: str) -> None:
    missing = [name for name in wanted if name not in present]
    if missing:
        raise ProviderUnavailable(f"no {', '.join(missing)}; {who_has} {', '.join(present)}")


def _session_options(intra_op: int, *, spinning: bool | None, profile: Path | None) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = intra_op
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry(_RECORD_PLACEMENT, "1")
    if spinning is not None:
        options.add_session_config_entry(_SPINNING, str(int(spinning)))
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    return options


def options_of(model: Model) -> dict[str, Any]:
    """The options that this session runs with, read back from it, in the words of the report."""
    options = model.session.get_session_options()
    return {
        "providers_requested": list(model.providers_requested),
        "nodes_per_provider": nodes_per_provider(model) or Absent("the runtime does not say"),
        "intra_op": options.intra_op_num_threads,
        "inter_op": options.inter_op_num_threads,
        "spinning": _spins(options),
        "graph_opt": _GRAPH_OPTIMISATION[options.graph_optimization_level.name],
        "arena": options.enable_cpu_mem_arena,
        "mem_pattern": options.enable_mem_pattern,
    }


def _spins(options: Any) -> bool:
    try:
        entry: str = options.get_session_config_entry(_SPINNING)
    except RuntimeError:
        # How the runtime says that it was not set, which means on: https://onnxruntime.ai/docs/performance/tune-performance/threading.html
        return True
    return entry == "1"


def translate(action: Callable[[], _T], failure: type[ModelUnloadable | InferenceFailed]) -> _T:
    """Do `action`; what the runtime raises becomes `failure`, or MemoryExceeded when an allocation failed."""
    try:
        return action()
    except _NATIVE_ERRORS as error:
        message = " ".join(str(error).split())[:_MESSAGE_CAP]
        if any(word in message for word in _OUT_OF_MEMORY_WORDS):
            raise MemoryExceeded(f"the runtime ran out of memory: {message}") from error
        raise failure(message) from error


def _port(node: Any) -> Port:
    dims = tuple(dim if isinstance(dim, int) else None for dim in node.shape) if node.shape is not None else None
    return Port(node.name, _DTYPES.get(node.type, node.type), dims)


def nodes_per_provider(model: Model) -> dict[str, int]:
    """How many nodes each execution provider really got; empty where the runtime does not say."""
    counts: Counter[str] = Counter()
    for part in model.session.get_provider_graph_assignment_info():
        counts[part.ep_name] += len(part.get_nodes())
    return dict(counts)


def bind_shapes(model: Model, shapes: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    """A concrete shape for each input: as given, else as declared with open dimensions bound to 1.

    Raises:
        RequestInvalid: a shape for an input that does not exist, or that contradicts the declared one.
    """
    unknown = set(shapes) - {port.name for port in model.inputs}
    if unknown:
        names = ", ".join(port.name for port in model.inputs)
        raise RequestInvalid(f"no input named {', '.join(sorted(unknown))}; the model has {names}")
    return {port.name: _bind(port, shapes.get(port.name)) for port in model.inputs}


def _bind(port: Port, given: Sequence[int] | None) -> tuple[int, ...]:
    declared = port.dims or ()
    if given is None:
        return tuple(1 if dim is None else dim for dim in declared)
    fits = port.dims is None or (
        len(given) == len(declared) and all(dim in {None, size} for dim, size in zip(declared, given, strict=True))
    )
    if not fits:
        raise RequestInvalid(f"input {port.name} is declared as {list(declared)}, not {list(given)}")
    return tuple(given)


def random_feeds(model: Model, shapes: Mapping[str, tuple[int, ...]], *, seed: int) -> dict[str, np.ndarray[Any, Any]]:
    """Standard normal floats and zero integers (an index that is always in range), reproducible by the seed.

    Raises:
        RequestInvalid: an input has a type that numbers cannot fill, such as a string.
    """
    generator = np.random.default_rng(seed)
    feeds = {}
    for port in model.inputs:
        if port.dtype not in _DTYPES.values():
            raise RequestInvalid(f"input {port.name} of type {port.dtype} cannot be generated; give samples")
        dtype = np.dtype(port.dtype)
        shape = shapes[port.name]
        feeds[port.name] = (
            generator.standard_normal(shape).astype(dtype) if dtype.kind == "f" else np.zeros(shape, dtype)
        )
    return feeds
