"""The static cost as a value, from a file or from a parsed model."""

import math
import mmap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships no stubs
from onnx import GraphProto, ModelProto, ValueInfoProto

from benchmarks.errors import ModelUnloadable
from benchmarks.static_cost.graphs import constant_of, subgraphs
from benchmarks.static_cost.liveness import constant_names, peak_activation_bytes
from benchmarks.static_cost.macs import TIMES, count, operators
from benchmarks.static_cost.scope import Scope, Tensor, dtype_name
from benchmarks.static_cost.skeleton import infer_shapes, skeleton_of

COUNTER = "smallfleet-static@1"
_PRECISIONS = {
    "float64": "fp64",
    "float32": "fp32",
    "float16": "fp16",
    "bfloat16": "bf16",
    **{f"{sign}int{bits}": f"int{bits}" for sign in ("", "u") for bits in (2, 4, 8)},
}


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output as the model declares it: sizes, names of open dimensions, "?" where there is no name.

    `shape` is None where not even the number of dimensions is declared, or the value is no tensor.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...] | None


@dataclass(frozen=True, slots=True)
class StaticCost:
    """What one inference costs by the graph alone.

    Attributes:
        macs: multiply-accumulates by "act x weight" dtype pair, such as "uint8 x int8" (with a multiplication sign).
        param_count: stored elements: initializers, Constant and constant ConstantOfShape nodes, each once.
        param_bytes: the bytes of those, stored densely.
        peak_activation_bytes: by liveness in graph order; None where a shape could not be inferred.
        op_counts: nodes by operator as the file has them, subgraphs included and local functions inlined.
        ops_uncounted: nodes that multiply and could not be counted, by operator. Where this is not empty, `macs` is a
            lower bound.
        bound_dims: the shapes that inputs with open dimensions were bound to.
        opset: version of ONNX's own operator set; `opset_imports` has all of them.
        precision: dtype of most of the multiplied weights: fp32, fp16, bf16, int8, int4, or "mixed".
    """

    macs: Mapping[str, int]
    param_count: int
    param_bytes: int
    peak_activation_bytes: int | None
    op_counts: Mapping[str, int]
    ops_uncounted: Mapping[str, int]
    bound_dims: Mapping[str, tuple[int, ...]]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    ir_version: int
    opset: int | None
    opset_imports: Mapping[str, int]
    precision: str
    counter: str = COUNTER

    @property
    def macs_total(self) -> int:
        """Multiply-accumulates of every dtype together."""
        return sum(self.macs.values())

    def as_json(self) -> dict[str, Any]:
        """The cost as JSON values, `macs_total` included."""
        return {"macs_total": self.macs_total, **asdict(self)}

    def as_artifact(self) -> dict[str, Any]:
        """What a benchmark report says about the artifact (`run_benchmark(artifact=...)`)."""
        return {
            "opset": self.opset,
            "ir_version": self.ir_version,
            "precision": self.precision,
            "static": {
                "macs": dict(self.macs),
                "param_bytes": self.param_bytes,
                "peak_activation_bytes": self.peak_activation_bytes,
                "ops_uncounted": dict(self.ops_uncounted),
                "counter": self.counter,
            },
        }


def count_static_cost(model: Path, *, shapes: Mapping[str, Sequence[int]] | None = None) -> StaticCost:
    """Read a model file and count; external data is not read.

    Peak memory is about twice the file (the mapped file and its parsed form), which the parser cannot avoid.

    Raises:
        ModelUnloadable: the file is missing, not ONNX, or contradicts itself.
    """
    return static_cost_of(_parse(model), shapes=shapes)


def _parse(path: Path) -> ModelProto:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            view = memoryview(mapped)
            try:
                model = ModelProto()
                model.ParseFromString(view)  # takes any buffer; bytes would be one more copy of the file
                return model
            finally:
                view.release()
    except (OSError, ValueError, DecodeError) as error:  # ValueError: an empty file cannot be mapped
        raise ModelUnloadable(f"{path.name} is not a readable ONNX file: {error}") from error


def static_cost_of(model: ModelProto, *, shapes: Mapping[str, Sequence[int]] | None = None) -> StaticCost:
    """Count a model that is already parsed; it is left as it is and its payload is not copied.

    Args:
        model: with or without the payload of its initializers.
        shapes: concrete shapes of inputs by name; other open dimensions are bound to 1.

    Raises:
        ModelUnloadable: there is no graph, or shape inference finds a contradiction.
    """
    _refuse_nonsense(model)
    bound = _bindings(model.graph, shapes or {})
    try:
        bare = skeleton_of(model, bound)
        ops = operators(bare.graph)
        filled = _filled_names(bare.graph)
        infer_shapes(bare)
    except (onnx.shape_inference.InferenceError, RuntimeError, DecodeError) as error:
        raise ModelUnloadable(f"shapes cannot be inferred: {str(error)[:300]}") from error
    scope = Scope(bare.graph)
    tally = count(scope)
    tensors = [*_stored(model), *(tensor for name in filled if (tensor := scope.tensor(name)))]
    params = Counter[str]()
    for tensor in tensors:
        params[tensor.dtype] += tensor.elements or 0
    stored = [name.name for name in model.graph.initializer]
    imports = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    return StaticCost(
        macs=dict(tally.macs),
        param_count=params.total(),
        param_bytes=sum(tensor.size_bytes or 0 for tensor in tensors),
        peak_activation_bytes=peak_activation_bytes(scope),
        op_counts=dict(sorted(ops.items())),
        ops_uncounted=dict(sorted(tally.uncounted.items())),
        bound_dims=bound,
        inputs=tuple(_port(value) for value in model.graph.input if value.name not in stored),
        outputs=tuple(_port(value) for value in model.graph.output),
        ir_version=model.ir_version,
        opset=imports.get("ai.onnx"),
        opset_imports=imports,
        precision=_precision(tally.macs, params),
    )


def _refuse_nonsense(model: ModelProto) -> None:
    if not model.HasField("graph") or not model.graph.output:
        raise ModelUnloadable("this is no ONNX model: it has no graph with an output")
    for tensor in _stored(model):
        if tensor.dims and min(tensor.dims) < 0:
            raise ModelUnloadable(f"a stored tensor has a negative dimension: {list(tensor.dims)}")


def _bindings(graph: GraphProto, shapes: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    """Concrete shapes of the inputs that leave a dimension open or were given one."""
    bound = {}
    for value in graph.input:
        declared = _port(value).shape
        if value.name in shapes:
            bound[value.name] = tuple(shapes[value.name])
        elif declared is not None and any(isinstance(dim, str) for dim in declared):
            bound[value.name] = tuple(1 if isinstance(dim, str) else dim for dim in declared)
    return bound


def _stored(model: ModelProto) -> Iterator[Tensor]:
    """Every tensor that the file stores, once each, function bodies included."""
    yield from _stored_in(model.graph)
    for function in model.functions:
        yield from _stored_in(GraphProto(node=function.node))


def _stored_in(graph: GraphProto) -> Iterator[Tensor]:
    for tensor in graph.initializer:
        yield Tensor(dtype_name(tensor.data_type), tuple(tensor.dims))
    for sparse in graph.sparse_initializer:
        yield Tensor(dtype_name(sparse.values.data_type), tuple(sparse.values.dims))
        yield Tensor(dtype_name(sparse.indices.data_type), tuple(sparse.indices.dims))
    for node in graph.node:
        constant = constant_of(node) if node.op_type == "Constant" else None
        if constant is not None:
            yield Tensor(dtype_name(constant.data_type), tuple(constant.dims))
        for subgraph in subgraphs(node):
            yield from _stored_in(subgraph)


def _filled_names(graph: GraphProto) -> list[str]:
    """Parameters written as ConstantOfShape: tensors in memory although the file stores only their shape."""
    constant = constant_names(graph)
    return [node.output[0] for node in graph.node if node.op_type == "ConstantOfShape" and node.output[0] in constant]


def _port(value: ValueInfoProto) -> Port:
    if not value.type.HasField("tensor_type"):
        return Port(value.name, str(value.type.WhichOneof("value") or "unknown").removesuffix("_type"), None)
    declared = value.type.tensor_type
    shape = tuple(dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?" for dim in declared.shape.dim)
    return Port(value.name, dtype_name(declared.elem_type), shape if declared.HasField("shape") else None)


def _precision(macs: Counter[str], params: Counter[str]) -> str:
    weights = Counter[str]()
    for pair, amount in macs.items():
        weights[_PRECISIONS.get(pair.split(TIMES)[1], "other")] += amount
    if not weights:
        for dtype, amount in params.items():
            weights[_PRECISIONS.get(dtype, "other")] += amount
    if not weights:
        return "mixed"
    name, amount = weights.most_common(1)[0]
    return name if amount * 2 > math.fsum(weights.values()) and name != "other" else "mixed"
