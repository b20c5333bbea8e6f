"""Floating-point tensors of the base as terms, found for a tensor that may hold the same numbers in another precision."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain, permutations
from math import prod

import numpy as np

from delta.arrays import Items, Octets
from delta.encoder.onnx_tensors import TensorRef
from delta.encoder.terms import Term, TermValues
from delta.floats import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, WIDTHS
from delta.formulas.stored import Stored
from delta.layouts import Layout

KINDS = {1: FLOAT32, 10: FLOAT16, 11: FLOAT64, 16: BFLOAT16}
"""ONNX data type to kind of float."""
MAX_PERMUTED_AXES = 4
_ALIKE = 0.9
"""Correlation of sampled numbers from which one set helps to predict the other."""
MAX_CANDIDATES = 64
"""Tensors of other names that are looked at, of those with as many items."""
_ADDITIONS = ("_quantized", "_Transposed", ".bf16", "_fp16", "_cast")
"""What converters append to the name of a weight they convert (ONNX Runtime's quant_utils.py and operators/gemm.py)."""


class Numbers:
    """The base's floats by name and by how many they are, and what terms of them are worth."""

    def __init__(self, base: Octets, tensors: Sequence[TensorRef]) -> None:
        self._values = TermValues(base)
        self._by_name: dict[str, list[TensorRef]] = defaultdict(list)
        self._by_items: dict[int, list[TensorRef]] = defaultdict(list)
        for tensor in tensors:
            if tensor.data_type in KINDS:
                self._by_name[tensor.name].append(tensor)
                self._by_items[items_of(tensor)].append(tensor)

    def items(self, term: Term, count: int, first: int = 0) -> Items:
        """Items of a term."""
        return self._values.items(term, count, first)

    def named(self, tensor: TensorRef, items: int) -> Iterator[Term]:
        """Tensors of `items` numbers whose name the tensor has, or had before a converter added to it."""
        name = tensor.name
        names = [name]
        while any(name.endswith(addition) for addition in _ADDITIONS):
            name = next(name.removesuffix(addition) for addition in _ADDITIONS if name.endswith(addition))
            names.append(name)
        for old in chain.from_iterable(self._by_name.get(one, []) for one in reversed(names)):
            if items_of(old) == items:
                yield from stored(old, tensor.dims)

    def as_many(self, tensor: TensorRef, items: int) -> Iterator[Term]:
        """Any tensors of `items` numbers, in the order of the base."""
        for old in self._by_items.get(items, [])[:MAX_CANDIDATES]:
            yield from stored(old, tensor.dims)


def items_of(tensor: TensorRef) -> int:
    """How many numbers a tensor of floats has."""
    return tensor.size // WIDTHS[KINDS[tensor.data_type]]


def stored(old: TensorRef, dims: tuple[int, ...]) -> Iterator[Term]:
    """A tensor of the base as it stands, and with its axes in each other order that gives `dims`."""
    kind = KINDS[old.data_type]
    yield Term(Stored.number, (old.offset, None, kind))
    for layout in transpositions(old.dims, dims):
        yield Term(Stored.number, (old.offset, layout, kind))


def transpositions(old: tuple[int, ...], new: tuple[int, ...]) -> Iterator[Layout]:
    """Layouts that bring axes into another order, with extents as in `new`; axes of one item do not count."""
    extents = [extent for extent in old if extent > 1]
    wanted = [extent for extent in new if extent > 1]
    if len(extents) > MAX_PERMUTED_AXES or sorted(extents) != sorted(wanted):
        return
    strides = [prod(extents[place + 1 :]) for place in range(len(extents))]
    for order in permutations(range(len(extents))):
        if list(order) != sorted(order) and [extents[place] for place in order] == wanted:
            yield Layout(tuple(wanted), tuple(strides[place] for place in order))


def resemble(one: Items, other: Items) -> bool:
    """Whether numbers (float64) correlate so that one set helps to predict the other."""
    one, other = (np.nan_to_num(numbers - numbers.mean()) for numbers in (one, other))
    sizes = np.sqrt(np.square(one).sum() * np.square(other).sum())
    return bool((one * other).sum() > _ALIKE * sizes > 0)
