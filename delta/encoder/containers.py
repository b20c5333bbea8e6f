"""The containers of tensors that are known. The only place that names them all.

To add one: a module with `find(file)`, which gives nothing for a file of another kind, and its line in `_FINDERS`.
"""

from collections.abc import Callable

from delta.encoder import onnx_tensors, safetensors
from delta.encoder.tensors import Tensors

_FINDERS: tuple[Callable[[memoryview], Tensors | None], ...] = (safetensors.find, onnx_tensors.find)


def find_tensors(file: memoryview) -> Tensors:
    """All tensors; none in a file of no known kind, which is then coded as bytes."""
    return next((found for find in _FINDERS if (found := find(file)) is not None), Tensors())
