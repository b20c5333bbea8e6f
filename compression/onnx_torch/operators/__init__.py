"""What every supported operator computes, by domain and name. A new one is a function of a `Call` and its line in a module's table."""

from collections.abc import Mapping

from compression.onnx_torch.node import Operator
from compression.onnx_torch.operators import (
    constants,
    convolution,
    dense,
    elementwise,
    normalisation,
    pooling,
    quantisation,
    recurrent,
    reduction,
    resize,
    shape,
)

_FAMILIES = (
    constants,
    convolution,
    dense,
    elementwise,
    normalisation,
    pooling,
    quantisation,
    recurrent,
    reduction,
    resize,
    shape,
)

OPERATORS: Mapping[tuple[str, str], Operator] = {
    ("", name): operator for family in _FAMILIES for name, operator in family.OPERATORS.items()
} | {
    ("com.microsoft", name): operator
    for family in (convolution, dense, elementwise, normalisation, quantisation)
    for name, operator in family.MICROSOFT.items()
}
"""By domain ("" is ONNX's own) and operator."""
