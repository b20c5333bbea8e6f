"""What every part of the counter needs to know about nodes: the graphs and the tensor that one may hold."""

import numpy as np
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, numpy_helper

# Shapes, axes, pads and trip counts are small and are read by shape inference; weights are not.
KEPT_ELEMENTS = 256


def subgraphs(node: NodeProto) -> list[GraphProto]:
    """The graphs that a control-flow node holds."""
    return [attribute.g for attribute in node.attribute if attribute.type == AttributeProto.GRAPH]


def constant_of(node: NodeProto) -> TensorProto | None:
    """The tensor that a Constant node holds, also when it is written as numbers."""
    for attribute in node.attribute:
        if attribute.name == "value":
            tensor: TensorProto = attribute.t
            return tensor
        if attribute.name == "value_int":
            return numpy_helper.from_array(np.array(attribute.i, np.int64))
        if attribute.name == "value_ints":
            return numpy_helper.from_array(np.array(attribute.ints, np.int64))
        if attribute.name == "value_float":
            return numpy_helper.from_array(np.array(attribute.f, np.float32))
        if attribute.name == "value_floats":
            return numpy_helper.from_array(np.array(attribute.floats, np.float32))
    return None
