"""Weights in half precision, computed in float32: half the bytes, on any execution provider. No torch.

Only what is stored is float16; a `Cast` of each constant gives back float32, and ONNX Runtime does it once, when it loads the file.
Activations, inputs and outputs stay float32, because CPUs without half precision arithmetic would convert them to and fro in every operation
(docs/decisions/0031).
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from compression.errors import ModelUnusable
from compression.quantisation.checks import drop_input, read_model

HALF_MAX = float(np.finfo(np.float16).max)
SUFFIX = "/float32"
"""Of the name under which operations find the float32 values of a constant; the stored half has the constant's own."""


def to_half(source: Path, target: Path) -> int:
    """Write `target`: `source` with its float32 weights rounded to float16; how many numbers were rounded.

    Scalars and constants of a few numbers stay as they are: they are shapes, bounds and scales, and cost nothing.

    Raises:
        ModelUnusable: the file cannot be used, has no such weight, or one is beyond what float16 holds; the message names it.
    """
    model = read_model(source)
    graph, rounded, casts = model.graph, 0, []
    kept = {value for node in graph.node if node.op_type in _SCALED for value in node.input[1:]}
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or tensor.name in kept:
            continue
        array = numpy_helper.to_array(tensor)
        if array.size < FEW:
            continue
        if np.abs(array).max() > HALF_MAX:
            raise ModelUnusable(f"{source.name}: {tensor.name} has values beyond {HALF_MAX:g}, the largest of float16")
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float16), name))
        drop_input(graph, name)
        _redirect(graph, name)
        casts.append(helper.make_node("Cast", [name], [name + SUFFIX], name + SUFFIX, to=TensorProto.FLOAT))
        rounded += array.size
    if not casts:
        raise ModelUnusable(f"{source.name} has no float32 weights of at least {FEW} numbers")
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.save(model, target)
    onnx.checker.check_model(target, full_check=True)
    return rounded


FEW = 8
# Operators whose further inputs are the grid of a quantised tensor.
_SCALED = frozenset({"QuantizeLinear", "DequantizeLinear"})


def _redirect(graph: onnx.GraphProto, name: str) -> None:
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs]:
                _redirect(inner, name)
        for index, value in enumerate(node.input):
            if value == name:
                node.input[index] = name + SUFFIX
    for output in graph.output:
        if output.name == name:
            raise ModelUnusable(f"{name} is a weight and an output at once")
