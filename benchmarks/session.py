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

from benchmarks.errors import InferenceFailed, MemoryExceeded, ModelUnloadable, RequestInvalid
from benchmarks.ports import Port

PROVIDERS = ("CPUExecutionProvider",)
# Spinning threads burn CPU between inferences; on a device with other work, or under a CPU quota, they double the cost
# (measured: 4.9 ms of CPU time per inference against 9.0). Node assignment is recorded to prove where nodes ran.
CONFIG_ENTRIES = {"session.intra_op.allow_spinning": "0", "session.record_ep_graph_assignment_info": "1"}

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


@dataclass(slots=True)
class Model:
    """A loaded model. `run` takes arrays by input name and returns arrays in the order of `outputs`."""

    session: Any
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    output_names: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.output_names = [port.name for port in self.outputs]

    def run(self, feeds: Mapping[str, np.ndarray[Any, Any]]) -> list[Any]:
        """One inference.

        Raises:
            InferenceFailed: the runtime refuses the inputs, or a kernel fails.
        """
        return translate(lambda: self.session.run(self.output_names, feeds), InferenceFailed)


def open_model(path: str, *, intra_op: int = 1) -> Model:
    """Load the model from its path; passing bytes would cost one more copy of the file in memory.

    Raises:
        ModelUnloadable: the file is not there or the runtime refuses it.
    """
    if not Path(path).is_file():
        raise ModelUnloadable(f"{path} is not a file")
    options = session_options(intra_op)
    session = translate(lambda: onnxruntime.InferenceSession(path, options, providers=list(PROVIDERS)), ModelUnloadable)
    return Model(session, tuple(map(_port, session.get_inputs())), tuple(map(_port, session.get_outputs())))


def session_options(intra_op: int) -> Any:
    """The options of every session of the ruler."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = intra_op
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    for key, value in CONFIG_ENTRIES.items():
        options.add_session_config_entry(key, value)
    return options


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
