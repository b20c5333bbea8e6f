"""The most bytes of activations alive at once when nodes run in file order.

A tensor lives from the node that makes it to its last use; inputs live from the start, outputs to the end. Tensors made
of constants alone are weights and do not count. Views share the bytes of their input. A quantise/dequantise pair is taken
as what an integer kernel keeps: the quantised tensor. A runtime's fusion lowers the figure, its padding raises it.
"""

from collections.abc import Iterator
from itertools import accumulate

from onnx import GraphProto, NodeProto

from benchmarks.static_cost.graphs import subgraphs
from benchmarks.static_cost.scope import VIEWS, Scope

# Step 0 holds the graph's inputs, step i + 1 its node i, and the last step its outputs.


def peak_activation_bytes(scope: Scope) -> int | None:
    """The peak of one graph and, at control-flow nodes, of its largest subgraph; None where a size is not known."""
    graph = scope.graph
    change = [0] * (len(graph.node) + 3)
    for root, (born, dies) in _lifetimes(graph).items():
        tensor = scope.tensor(root)
        size = tensor.size_bytes if tensor else None
        if size is None:
            return None
        change[born] += size
        change[dies + 1] -= size
    inner = [0] * len(change)
    for step, node in enumerate(graph.node, start=1):
        peaks = [peak_activation_bytes(Scope(subgraph, scope)) for subgraph in subgraphs(node)]
        if None in peaks:
            return None
        inner[step] = max((peak for peak in peaks if peak is not None), default=0)
    return max(alive + nested for alive, nested in zip(accumulate(change), inner, strict=True))


def constant_names(graph: GraphProto, outer: frozenset[str] = frozenset()) -> frozenset[str]:
    """Tensors that are stored, or computed from stored ones alone (a runtime folds them when it loads)."""
    names = {tensor.name for tensor in graph.initializer} | outer
    for node in graph.node:
        if not subgraphs(node) and all(not name or name in names for name in node.input):
            names.update(node.output)
    return frozenset(names)


def _lifetimes(graph: GraphProto) -> dict[str, tuple[int, int]]:
    """First and last step of each piece of memory, by the name of the tensor whose bytes it holds."""
    constant = constant_names(graph)
    owner = _owners(graph)
    lifetimes: dict[str, tuple[int, int]] = {}
    for step, name in _mentions(graph):
        if not name or name in constant:
            continue
        root = owner.get(name, name)
        born, dies = lifetimes.get(root, (step, step))
        lifetimes[root] = (min(born, step), max(dies, step))
    local = {value.name for value in graph.input} | {name for node in graph.node for name in node.output}
    # An output that nothing reads (a mask of Dropout, say) is not made by a runtime, and often has no inferred shape.
    read = {name for node in graph.node for name in _reads(node)} | {value.name for value in graph.output}
    read |= {owner.get(name, name) for name in read}
    return {root: span for root, span in lifetimes.items() if root in local and root in read}


def _mentions(graph: GraphProto) -> Iterator[tuple[int, str]]:
    """Every step at which a tensor is made or used."""
    yield from ((0, value.name) for value in graph.input)
    for step, node in enumerate(graph.node, start=1):
        yield from ((step, name) for name in (*_reads(node), *node.output))
    yield from ((len(graph.node) + 1, value.name) for value in graph.output)


def _reads(node: NodeProto) -> Iterator[str]:
    """What a node uses, also from inside its subgraphs."""
    yield from node.input
    for graph in subgraphs(node):
        for inner in graph.node:
            yield from _reads(inner)


def _owners(graph: GraphProto) -> dict[str, str]:
    """For a tensor that has no bytes of its own, the tensor whose bytes it shares."""
    readers: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in _reads(node):
            readers.setdefault(name, []).append(node)
    kept = {value.name for value in graph.output} | {value.name for value in graph.input}
    owner: dict[str, str] = {}
    for node in reversed(graph.node):  # a tensor that is only quantised is never kept in its wide form
        if node.op_type == "QuantizeLinear" and len(readers[node.input[0]]) == 1 and node.input[0] not in kept:
            owner[node.input[0]] = owner.get(node.output[0], node.output[0])
    for node in graph.node:
        if node.op_type == "DequantizeLinear" or node.op_type in VIEWS:
            owner[node.output[0]] = owner.get(node.input[0], node.input[0])
    return owner
