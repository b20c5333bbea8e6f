"""Floating-point tensors of the base as terms, found for a tensor that may hold the same numbers in another precision."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, permutations
from math import prod

import numpy as np

from delta.arrays import Items, Octets
from delta.encoder.tensors import TensorRef
from delta.encoder.terms import Term, TermValues
from delta.floats import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, WIDTHS
from delta.formulas.folded import FoldedBias, Gains, Multiplied, NewBias
from delta.formulas.stored import Stored
from delta.layouts import Layout

KINDS = {1: FLOAT32, 10: FLOAT16, 11: FLOAT64, 16: BFLOAT16}
"""ONNX data type to kind of float."""
MAX_PERMUTED_AXES = 4
MAX_CANDIDATES = 64
"""Tensors of other names that are looked at, of those with as many items."""
_ADDITIONS = ("_quantized", "_Transposed", ".bf16", "_fp16", "_cast", "_Q4", "_Q8")
"""What converters append to the name of a weight they convert (ONNX Runtime's quant_utils.py, operators/gemm.py and matmul_nbits_quantizer.py)."""
_FOLDED = ("ConvBnFusion_W_", "ConvBnFusion_BN_B_")
"""What ONNX Runtime puts before the name of weights, and of betas, that it folded (optimizer/conv_bn_fusion.cc)."""
_EPSILONS = (1e-5, 1e-3)
"""By default in ONNX and torch, and in Keras."""
_MIN_CHANNELS = 4
MAX_NORMS = 8
"""Normalisations that are tried for a layer, of those with as many channels, the nearest in the file first."""
MAX_BIASES = 3
"""Tensors before a normalisation that may be the bias of its layer."""
_FLOAT = 1


class Numbers:
    """The base's floats by name and by how many they are, and what terms of them are worth."""

    def __init__(self, base: Octets, tensors: Sequence[TensorRef]) -> None:
        self._values = TermValues(base)
        self._tensors = [tensor for tensor in tensors if tensor.data_type in KINDS]
        self._by_name: dict[str, list[TensorRef]] = defaultdict(list)
        self._by_items: dict[int, list[TensorRef]] = defaultdict(list)
        for tensor in self._tensors:
            self._by_name[tensor.name].append(tensor)
            self._by_items[items_of(tensor)].append(tensor)

    def items(self, term: Term, count: int, first: int = 0) -> Items:
        """Items of a term."""
        return self._values.items(term, count, first)

    def sources(self, tensor: TensorRef, items: int) -> Iterator[Term]:
        """What a tensor of `items` numbers may be computed from: of its name, of as many numbers, with a norm folded in.

        The likeliest come first. Whoever asks looks at a sample of each.
        """
        tried: dict[Term, None] = {}
        named = [old for name in _names(tensor.name) for old in self._by_name.get(name, []) if items_of(old) == items]
        candidates = list(dict.fromkeys((*named, *self._by_items.get(items, [])[:MAX_CANDIDATES])))
        for group in (named, candidates):
            for source in chain.from_iterable((*stored(old, tensor.dims), *self._folded(old)) for old in group):
                if source not in tried:
                    tried[source] = None
                    yield source
        yield from self._folded_biases(items)

    def _folded(self, weights: TensorRef) -> Iterator[Term]:
        """Weights of a layer with the normalisation after it folded in, for those that may stand after it."""
        channels = weights.dims[0] if len(weights.dims) > 1 else 0
        if weights.data_type != _FLOAT or channels < _MIN_CHANNELS:
            return
        source = next(stored(weights, ()))
        inner = items_of(weights) // channels
        for norm in sorted(self._norms.get(channels, []), key=lambda norm: abs(norm.offset - weights.offset))[
            :MAX_NORMS
        ]:
            for gains in norm.gains():
                yield Term(Multiplied.number, (source, gains, channels, inner))

    def _folded_biases(self, channels: int) -> Iterator[Term]:
        for norm in self._norms.get(channels, []):
            for gains in norm.gains():
                yield from norm.biases(gains)

    @cached_property
    def _norms(self) -> dict[int, list["Norm"]]:
        """Four tensors in a row that may be gamma, beta, mean and variance, by how many channels they have."""
        found: dict[int, list[Norm]] = defaultdict(list)
        rows = [self._tensors[place : place + 4] for place in range(len(self._tensors) - 3)]
        norms = [row for row in rows if self._may_be_norm(row)]
        taken = {old.offset for row in norms for old in row}
        for row in norms:
            offset, dims = row[0].offset, row[0].dims
            before = [
                old for old in self._tensors if (old.data_type, old.dims) == (_FLOAT, dims) and old.offset < offset
            ]
            biases = [old for old in before if old.offset not in taken][-MAX_BIASES:]
            parts, layers = ([next(stored(old, ())) for old in some] for some in (row, biases))
            found[dims[0]].append(Norm(offset, tuple(parts), tuple(layers)))
        return found

    def _may_be_norm(self, row: Sequence[TensorRef]) -> bool:
        channels = items_of(row[0])
        alike = all((old.data_type, old.dims) == (_FLOAT, (channels,)) for old in row)
        return alike and channels >= _MIN_CHANNELS and bool((self._single(row[3]) >= 0).all())

    def _single(self, old: TensorRef) -> Items:
        return self.items(next(stored(old, ())), items_of(old))


@dataclass(frozen=True, slots=True)
class Norm:
    """A batch normalisation of the base: gamma, beta, mean and variance, and what may be the bias of the layer before."""

    offset: int
    parts: tuple[Term, ...]
    layer_biases: tuple[Term, ...]

    def gains(self) -> Iterator[Term]:
        """What it multiplies by, for each usual epsilon."""
        gamma, _, _, variance = self.parts
        for epsilon in _EPSILONS:
            yield Term(Gains.number, (gamma, variance, int(np.float32(epsilon).view(np.uint32))))

    def biases(self, gains: Term) -> Iterator[Term]:
        """Biases of the layer before, after folding."""
        _, beta, mean, _ = self.parts
        yield Term(NewBias.number, (mean, gains, beta))
        for bias in self.layer_biases:
            yield Term(FoldedBias.number, (bias, mean, gains, beta))


def _names(name: str) -> list[str]:
    """What a tensor may have been called before converters added to its name, the oldest name first."""
    names = [name]
    while stripped := next((name.removesuffix(one) for one in _ADDITIONS if name.endswith(one)), ""):
        name = stripped
        names.append(name)
    names += [name.removeprefix(one) for one in _FOLDED if name.startswith(one)]
    return names[::-1]


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


def resemble(one: Items, other: Items, least: float = 0.9) -> bool:
    """Whether numbers (float64) have at least that correlation."""
    with np.errstate(all="ignore"):
        one, other = (np.nan_to_num(numbers - numbers.mean(), posinf=0, neginf=0) for numbers in (one, other))
        sizes = np.sqrt(np.square(one).sum() * np.square(other).sum())
        return bool((one * other).sum() > least * sizes > 0)
