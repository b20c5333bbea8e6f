"""Is this file one self-contained, valid ONNX model within the caps, and what does it cost to run? Runs in the child.

The checks come first, and the counter sees only what passed them. The parsed form is let go before `onnx.checker` reads
the file by itself, and parsed again after: both at once would double the memory, and parsing is quick.
"""

import mmap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships no stubs
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

from benchmarks.errors import BenchmarkError
from benchmarks.static_cost import static_cost_of
from registry.inspection.errors import FileRefused

MAX_NODES = 50_000
MAX_TENSORS = 100_000
MAX_PORTS = 256


def describe_model(path: Path) -> dict[str, Any]:
    """The static cost of a model that passed every check, as JSON values.

    Raises:
        FileRefused: it did not pass.
    """
    _check_contents(path)
    _check_validity(path)
    try:
        return static_cost_of(_parse(path)).as_json()
    except BenchmarkError as error:
        raise FileRefused(_first_lines(error)) from error


def _check_contents(path: Path) -> None:
    model = _parse(path)
    _check_sizes(model)
    _check_self_contained(model)


def _check_validity(path: Path) -> None:
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        raise FileRefused(f"onnx.checker says: {_first_lines(error)}") from error


def _parse(path: Path) -> ModelProto:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        view = memoryview(mapped)
        try:
            model: ModelProto = ModelProto.FromString(view)  # any buffer is read, and none is copied
        except (DecodeError, ValueError) as error:
            raise FileRefused(f"this is no ONNX file, or it was cut short: {error}") from error
        finally:
            view.release()
    if not model.HasField("graph") or not model.graph.output:
        raise FileRefused("this is no ONNX model: it has no graph with an output")
    return model


def _check_sizes(model: ModelProto) -> None:
    nodes = sum(1 for _ in _nodes(model))
    tensors = sum(1 for _ in _tensors(model))
    ports = max(len(model.graph.input), len(model.graph.output))
    for what, found, most in (
        ("nodes", nodes, MAX_NODES),
        ("stored tensors", tensors, MAX_TENSORS),
        ("inputs or outputs", ports - len(model.graph.initializer), MAX_PORTS),
    ):
        if found > most:
            raise FileRefused(f"the model has {found} {what}, at most {most} are accepted")


def _check_self_contained(model: ModelProto) -> None:
    for tensor in _tensors(model):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            raise FileRefused(
                f"the tensor {tensor.name[:100]!r} is stored in another file; "
                "save the model as one file (onnx.save with save_as_external_data=False)"
            )


def _graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """A graph and every graph inside its nodes; an explicit stack, because a file chooses how deep it nests."""
    waiting = [graph]
    while waiting:
        current = waiting.pop()
        yield current
        waiting += _inner_graphs(current.node)


def _inner_graphs(nodes: Iterable[NodeProto]) -> Iterator[GraphProto]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield attribute.g
            yield from attribute.graphs


def _all_graphs(model: ModelProto) -> Iterator[GraphProto]:
    yield from _graphs(model.graph)
    for function in model.functions:
        for graph in _inner_graphs(function.node):
            yield from _graphs(graph)
    for training in model.training_info:
        yield from _graphs(training.initialization)
        yield from _graphs(training.algorithm)


def _nodes(model: ModelProto) -> Iterator[NodeProto]:
    for graph in _all_graphs(model):
        yield from graph.node
    for function in model.functions:
        yield from function.node


def _tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Every stored tensor: initializers, sparse ones, and attributes of nodes, in all graphs and functions."""
    for graph in _all_graphs(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in _nodes(model):
        for attribute in node.attribute:
            yield from _attribute_tensors(attribute)
    for function in model.functions:
        for default in function.attribute_proto:
            yield from _attribute_tensors(default)


def _attribute_tensors(attribute: AttributeProto) -> Iterator[TensorProto]:
    if attribute.HasField("t"):
        yield attribute.t
    yield from attribute.tensors
    sparse_tensors = [
        *attribute.sparse_tensors,
        *([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []),
    ]
    for sparse in sparse_tensors:
        yield from (sparse.values, sparse.indices)


def _first_lines(error: Exception) -> str:
    return " ".join(str(error).split())[:500]
