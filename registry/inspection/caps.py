"""How large the parts of a model may be. Runs in the child, before any library walks the model.

The bytes of a file bound little: an empty message is two bytes and a hundred parsed, and functions that call each other twice make 2^n
nodes of n. So everything that something downstream loops over, recurses into or multiplies has a number here. The numbers are far above
real models (the largest seen, exporters' language models, have 20,000 nodes, names of 300 characters and graphs three deep).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto

from registry.inspection.errors import FileRefused

MAX_NODES = 50_000
"""Also with every call of a function replaced by its body, which is how the counter and runtimes see it."""
MAX_TENSORS = 100_000
MAX_PORTS = 256
MAX_FUNCTIONS = 2_000
MAX_DEPTH = 16
"""Graphs within graphs (If, Loop, Scan)."""
MAX_DIMENSIONS = 32
MAX_EDGES = 10_000
"""Inputs and outputs of one node."""
MAX_NAME_CHARS = 1_024
MAX_TEXT_CHARS = 1 << 20
"""Of one documentation string or value of metadata; exporters put stack traces there."""

_Function = tuple[str, str, str]


def check_caps(model: ModelProto) -> None:
    """Refuse a model with more or longer parts than are accepted.

    Raises:
        FileRefused: the message says what there is too much of.
    """
    for what, count, most in _CAPS:  # in this order: later ones may do work that earlier ones bound
        found = count(model)
        if found > most:
            raise FileRefused(f"the model has {found} {what}, at most {most} are accepted")


def graphs_of(model: ModelProto) -> Iterator[GraphProto]:
    """Every graph of the model, wherever it is nested."""
    for graph, _depth_of_it in _graphs(model):
        yield graph


def nodes_of(model: ModelProto) -> Iterator[NodeProto]:
    """Every node, of all graphs and functions."""
    for graph in graphs_of(model):
        yield from graph.node
    for function in model.functions:
        yield from function.node


def tensors_of(model: ModelProto) -> Iterator[TensorProto]:
    """Every stored tensor: initializers, sparse ones, and attributes of nodes, in all graphs and functions."""
    for graph in graphs_of(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in nodes_of(model):
        for attribute in node.attribute:
            yield from _attribute_tensors(attribute)
    for function in model.functions:
        for default in function.attribute_proto:
            yield from _attribute_tensors(default)


def _graphs(model: ModelProto) -> Iterator[tuple[GraphProto, int]]:
    """Every graph and how deep it is; an explicit stack, because a file chooses how deep it nests."""
    waiting = [(model.graph, 1)]
    for function in model.functions:
        waiting += [(graph, 1) for graph in _inner_graphs(function.node)]
        waiting += [(graph, 1) for default in function.attribute_proto for graph in _attribute_graphs(default)]
    for training in model.training_info:
        waiting += [(training.initialization, 1), (training.algorithm, 1)]
    while waiting:
        graph, depth = waiting.pop()
        yield graph, depth
        waiting += [(inner, depth + 1) for inner in _inner_graphs(graph.node)]


def _inner_graphs(nodes: Iterable[NodeProto]) -> Iterator[GraphProto]:
    for node in nodes:
        for attribute in node.attribute:
            yield from _attribute_graphs(attribute)


def _attribute_graphs(attribute: AttributeProto) -> Iterator[GraphProto]:
    if attribute.HasField("g"):
        yield attribute.g
    yield from attribute.graphs


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


def _depth(model: ModelProto) -> int:
    return max(depth for _graph, depth in _graphs(model))


def _inlined_nodes(model: ModelProto) -> int:
    """The nodes there would be with the body of each function in the place of its calls.

    Raises:
        FileRefused: functions call each other in a circle.
    """
    calls = {_key_of(function): Counter(map(_called, _body_nodes(function))) for function in model.functions}
    sizes: dict[_Function, int] = {}
    for key in calls:
        _size_function(key, calls, sizes)
    return sum(sizes.get(_called(node), 1) for graph in _own_graphs(model) for node in graph.node)


def _size_function(
    first: _Function, calls: Mapping[_Function, Counter[_Function]], sizes: dict[_Function, int]
) -> None:
    """Fill in the sizes of a function and all that it calls; again an explicit stack."""
    path, on_path = [first], {first}
    while path:
        key = path[-1]
        missing = next((name for name in calls[key] if name in calls and name not in sizes), None)
        if missing is None:
            sizes[key] = sum(sizes.get(name, 1) * times for name, times in calls[key].items())
            on_path.discard(path.pop())
        elif missing in on_path:
            raise FileRefused(f"the function {missing[1][:100]!r} calls itself")
        else:
            path.append(missing)
            on_path.add(missing)


def _body_nodes(function: FunctionProto) -> list[NodeProto]:
    """The nodes of a function and of the graphs inside of them."""
    found = list(function.node)
    for graph in _nested(_inner_graphs(function.node)):
        found += graph.node
    return found


def _own_graphs(model: ModelProto) -> Iterator[GraphProto]:
    """The graphs that are no function's."""
    training = [graph for info in model.training_info for graph in (info.initialization, info.algorithm)]
    yield from _nested([model.graph, *training])


def _nested(graphs: Iterable[GraphProto]) -> Iterator[GraphProto]:
    waiting = list(graphs)
    while waiting:
        graph = waiting.pop()
        yield graph
        waiting += _inner_graphs(graph.node)


def _key_of(function: FunctionProto) -> _Function:
    return function.domain, function.name, function.overload


def _called(node: NodeProto) -> _Function:
    return node.domain, node.op_type, node.overload


def _edges(node: NodeProto) -> int:
    return len(node.input) + len(node.output)


def _dimensions(model: ModelProto) -> Iterator[int]:
    yield from (len(tensor.dims) for tensor in tensors_of(model))
    for graph in graphs_of(model):
        for value in (*graph.input, *graph.output, *graph.value_info):
            yield len(value.type.tensor_type.shape.dim)


def _names(model: ModelProto) -> Iterator[str]:
    yield from (model.producer_name, model.producer_version, model.domain)
    for node in nodes_of(model):
        yield from (node.name, node.op_type, node.domain, node.overload, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)
    yield from (tensor.name for tensor in tensors_of(model))
    for graph in graphs_of(model):
        yield graph.name
        for value in (*graph.input, *graph.output, *graph.value_info):
            yield value.name
            yield from (dim.dim_param for dim in value.type.tensor_type.shape.dim)
    for function in model.functions:
        yield from (function.name, function.domain, function.overload, *function.input, *function.output)
        yield from function.attribute


def _texts(model: ModelProto) -> Iterator[str]:
    yield model.doc_string
    yield from (text for one in model.metadata_props for text in (one.key, one.value))
    for owner in (*graphs_of(model), *nodes_of(model), *model.functions):
        yield owner.doc_string
        yield from (text for one in owner.metadata_props for text in (one.key, one.value))


def _ports(model: ModelProto) -> int:
    """Inputs or outputs, whichever are more; old files list every initializer as an input too."""
    return max(len(model.graph.input), len(model.graph.output)) - len(model.graph.initializer)


_CAPS: tuple[tuple[str, Callable[[ModelProto], int], int], ...] = (
    ("functions", lambda model: len(model.functions), MAX_FUNCTIONS),
    ("graphs inside each other", _depth, MAX_DEPTH),
    ("nodes", lambda model: sum(1 for _ in nodes_of(model)), MAX_NODES),
    ("nodes with its functions put in their places", _inlined_nodes, MAX_NODES),
    ("stored tensors", lambda model: sum(1 for _ in tensors_of(model)), MAX_TENSORS),
    ("inputs or outputs", _ports, MAX_PORTS),
    ("inputs and outputs at one node", lambda model: max(map(_edges, nodes_of(model)), default=0), MAX_EDGES),
    ("dimensions in one tensor", lambda model: max(_dimensions(model), default=0), MAX_DIMENSIONS),
    ("characters in one name", lambda model: max(map(len, _names(model)), default=0), MAX_NAME_CHARS),
    ("characters in one text", lambda model: max(map(len, _texts(model)), default=0), MAX_TEXT_CHARS),
)
