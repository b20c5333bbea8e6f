"""Recognising what ONNX Runtime's quantiser made from weights of the base: codes, and what it computes for them.

Names help to look in the right place first. What counts is content: codes are those of a weight if they come out of it,
and scales, zero points and scales of biases are what comes out of the same computation, whatever they are called.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

import numpy as np

from delta import floats
from delta.arrays import Items, Octets, octets
from delta.corrections import add
from delta.encoder.numbers import KINDS, Numbers, items_of, resemble
from delta.encoder.tensors import TensorRef
from delta.encoder.terms import Term
from delta.floats import FLOAT16, FLOAT32
from delta.formulas.converted import Rounded
from delta.formulas.evaluation import MAX_KEPT
from delta.formulas.quantised import MAX_CHANNELS, BiasCodes, Codes, Nibbles, Scaled, Scales, ZeroPoints
from delta.formulas.stored import Stored
from delta.quantisation import (
    ASYMMETRIC,
    ASYMMETRIC_ROUNDED,
    BLOCKS,
    BOUNDS,
    INT4,
    INT8,
    SYMMETRIC,
    SYMMETRIC_BLOCKS,
    UINT4,
    UINT8,
    Rule,
)

MIN_BYTES = 16
"""Smaller tensors are cheaper as text."""
MAX_CORRECTED = 0.02
"""A larger share of wrong codes means that these weights are not where the codes come from."""
_SAMPLE_ITEMS = 512
_ALIKE_ROUGHLY = 0.6
"""Correlation of signs or sizes: channels on scales of their own may correlate less in their values."""
_SINGLE_PRECISION = 2.0**-20
"""A few roundings to float32, relative."""
_INT32 = 6

_RULES = {
    3: (
        Rule(INT8, 127, 127, SYMMETRIC),
        Rule(INT8, 64, 64, SYMMETRIC),
        Rule(INT8, 128, 127, ASYMMETRIC),
        Rule(INT8, 128, 127, SYMMETRIC),
        Rule(INT8, 128, 127, ASYMMETRIC_ROUNDED),
    ),
    2: (
        Rule(UINT8, 0, 255, ASYMMETRIC),
        Rule(UINT8, 0, 127, ASYMMETRIC),
        Rule(UINT8, 0, 255, SYMMETRIC),
        Rule(UINT8, 0, 127, SYMMETRIC),
        Rule(UINT8, 0, 255, ASYMMETRIC_ROUNDED),
        Rule(UINT8, 0, 127, ASYMMETRIC_ROUNDED),
    ),
    22: (Rule(INT4, 8, 7, SYMMETRIC), Rule(INT4, 8, 7, ASYMMETRIC)),
    21: (Rule(UINT4, 0, 15, ASYMMETRIC), Rule(UINT4, 0, 15, SYMMETRIC)),
}
"""By ONNX data type of codes: the ranges of `get_qmin_qmax_for_qType`, the usual ones first."""
_UINT8 = 2
_BLOCK_RULES = {
    4: (Rule(UINT4, 0, 15, BLOCKS), Rule(UINT4, 0, 15, SYMMETRIC_BLOCKS)),
    8: (Rule(UINT8, 0, 255, BLOCKS), Rule(UINT8, 0, 255, SYMMETRIC_BLOCKS)),
}
"""By bits of a code: what `MatMulNBits` reads from tensors of (columns, blocks, bytes of a block)."""
_MAX_CHANNELS_OF_ALL = MAX_KEPT // 4
"""A decoder keeps two numbers a channel, and gains of folded layers besides."""
_FOUR_BITS = (21, 22)
_NIBBLE = 4
_BLOCKED_AXES = 3


@dataclass(frozen=True, slots=True)
class Form:
    """One reading of a tensor's bytes: how its codes are laid out, and the grids that they may be on.

    `dims` are those of the codes, channels change along axes with extents and inner items of `axes`.
    """

    dims: tuple[int, ...]
    packed: bool
    rules: tuple[Rule, ...]
    axes: tuple[tuple[int, int], ...]

    @property
    def count(self) -> int:
        return prod(self.dims)

    def codes(self, plain: Octets) -> Items:
        """The codes as numbers, one an item."""
        signed = BOUNDS[self.rules[0].code_type][0] < 0
        if not self.packed:
            return plain.view(np.int8 if signed else np.uint8).astype(np.int16)
        nibbles = np.stack((plain & 15, plain >> 4), axis=1).reshape(-1)[: self.count].astype(np.int16)
        return np.where(nibbles > 7, nibbles - 16, nibbles) if signed else nibbles

    def grids(self, source: Term) -> Iterator[tuple[Term, int]]:
        """Scales that a quantiser may have computed, and how many they are."""
        for rule in self.rules:
            for channels, inner in self.axes:
                laid = (rule.code_type, rule.below, rule.above, rule.laying)
                yield Term(Scales.number, (source, self.count, channels, inner, *laid)), channels


def forms(tensor: TensorRef) -> Iterator[Form]:
    """The readings that a tensor's type and shape allow."""
    count, packed = prod(tensor.dims), tensor.data_type in _FOUR_BITS
    if tensor.size == ((count + 1) // 2 if packed else count):
        yield Form(tensor.dims, packed, _RULES[tensor.data_type], tuple(_axes(tensor.dims)))
    if tensor.data_type == _UINT8 and len(tensor.dims) == _BLOCKED_AXES and tensor.size == count:
        columns, blocks, block_bytes = tensor.dims
        for bits, rules in _BLOCK_RULES.items():
            block = block_bytes * 8 // bits
            if 1 < columns * blocks <= MAX_CHANNELS:
                yield Form((columns, blocks * block), bits == _NIBBLE, rules, ((columns * blocks, block),))


def _axes(dims: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    yield 1, prod(dims)
    for place, extent in enumerate(dims):
        if 1 < extent <= MAX_CHANNELS:
            yield extent, prod(dims[place + 1 :])


@dataclass(frozen=True, slots=True)
class Coded:
    """A tensor of codes: the term of its bytes, what it is off by (empty: nothing), and its scales."""

    term: Term
    corrections: Items
    scales: Term
    channels: int


class QuantisedTensors:
    """What of a new file is computed from the base's numbers; looked for when first asked."""

    def __init__(self, new: Octets, tensors: Sequence[TensorRef], numbers: Numbers) -> None:
        self._new = new
        self._tensors = tensors
        self._numbers = numbers

    @cached_property
    def codes(self) -> dict[TensorRef, Coded]:
        """Tensors of int8, uint8, int4 and uint4 that come from floats of the base."""
        found = {}
        channels_left = _MAX_CHANNELS_OF_ALL
        for tensor in self._tensors:
            if tensor.data_type in _RULES and tensor.size >= MIN_BYTES and prod(tensor.dims) > 0:
                coded = self._coded(tensor)
                if coded is not None and coded.channels <= channels_left:
                    channels_left -= coded.channels
                    found[tensor] = coded
        return found

    @cached_property
    def biases(self) -> dict[TensorRef, Term]:
        """Tensors of int32 that come from floats of the base and scales of `codes`."""
        found = {}
        for tensor in self._tensors:
            if tensor.data_type == _INT32 and tensor.size >= MIN_BYTES:
                term = self._bias(tensor)
                if term is not None:
                    found[tensor] = term
        return found

    def computed(self, plain: Octets) -> Term | None:
        """The scales or zero points that are just these bytes."""
        return self.by_content.get(plain.tobytes()) if plain.size in self._content_sizes else None

    @cached_property
    def _content_sizes(self) -> set[int]:
        return {len(content) for content in self.by_content if len(content) >= MIN_BYTES}

    @cached_property
    def by_content(self) -> dict[bytes, Term]:
        """Scales and zero points of all `codes`, scales of all `biases`, as bytes."""
        found = {}
        for coded in self.codes.values():
            points = Term(ZeroPoints.number, (coded.scales,))
            packed = Term(Nibbles.number, (points, coded.channels))
            for term, count in (
                (points, coded.channels),
                (packed, (coded.channels + 1) // 2),
                (coded.scales, coded.channels),
            ):
                found[octets(self._numbers.items(term, count)).tobytes()] = term
        for term in self.biases.values():
            scales, channels = term.operands[1], term.operands[2]
            if isinstance(scales, Term) and isinstance(channels, int):
                found[octets(self._numbers.items(scales, channels)).tobytes()] = scales
        return found

    def _octets(self, tensor: TensorRef) -> Octets:
        return self._new[tensor.offset : tensor.end]

    def _sources(self, tensor: TensorRef, items: int) -> Iterator[Term]:
        """What it may come from, the likeliest first; half precision also as it is after widening."""
        for source in self._numbers.sources(tensor, items):
            if source.operation == Stored.number and source.operands[2] == FLOAT16:
                yield Term(Rounded.number, (source, FLOAT32))
            yield source

    def _coded(self, tensor: TensorRef) -> Coded | None:
        plain = self._octets(tensor)
        nearest: Coded | None = None
        least = MAX_CORRECTED * plain.size + 4 * MAX_CHANNELS
        for form in forms(tensor):
            for coded in self._codings(replace(tensor, dims=form.dims), plain, form):
                there = self._is_there(coded.scales, coded.channels)
                missed = int(np.count_nonzero(coded.corrections)) + (0 if there else 4 * coded.channels)
                if missed < least:
                    nearest, least = coded, missed
                if not missed:
                    return nearest
        return nearest

    def _codings(self, tensor: TensorRef, plain: Octets, form: Form) -> Iterator[Coded]:
        """Terms that come near the codes of a form."""
        sample = form.codes(plain)
        for source in self._sources(tensor, form.count):
            if not self._comes_from(sample, source, signed=not form.rules[0].in_blocks):
                continue
            for scales, channels in form.grids(source):
                codes = Term(Codes.number, (scales,))
                if _wrong(self._numbers.items(codes, min(form.count, _SAMPLE_ITEMS)), sample) > MAX_CORRECTED:
                    continue
                term = Term(Nibbles.number, (codes, form.count)) if form.packed else codes
                corrections = add.residual(plain, octets(self._numbers.items(term, plain.size)))
                wrong = np.count_nonzero(corrections)
                if wrong <= MAX_CORRECTED * plain.size:
                    yield Coded(term, corrections if wrong else corrections[:0], scales, channels)

    def _is_there(self, scales: Term, channels: int) -> bool:
        """Whether the new file has just these scales: codes of symmetric channels do not tell a gain."""
        return octets(self._numbers.items(scales, channels)).tobytes() in self._contents

    @cached_property
    def _contents(self) -> set[bytes]:
        """The bytes of all tensors of floats that may be scales."""
        small = [one for one in self._tensors if one.data_type in KINDS and items_of(one) <= MAX_CHANNELS]
        return {self._octets(tensor).tobytes() for tensor in small}

    def _comes_from(self, codes: Items, source: Term, *, signed: bool) -> bool:
        """Whether sampled codes resemble the numbers they would come from; in blocks, whose scales have signs, in size."""
        one, other = [], []
        for first in (0, max(codes.size // 2 - _SAMPLE_ITEMS, 0)):
            sample = codes[first : first + _SAMPLE_ITEMS]
            one.append(sample.astype(np.float64))
            other.append(self._numbers.items(source, sample.size, first).astype(np.float64))
        with np.errstate(invalid="ignore"):
            sampled, expected = (some - np.median(some) for some in (np.concatenate(one), np.concatenate(other)))
        if not signed:
            return resemble(np.abs(sampled), np.abs(expected), _ALIKE_ROUGHLY)
        return resemble(sampled, expected) or resemble(np.sign(sampled), np.sign(expected), _ALIKE_ROUGHLY)

    def _bias(self, tensor: TensorRef) -> Term | None:
        codes = self._octets(tensor).view("<i4")
        largest = int(np.abs(codes.astype(np.int64)).argmax())
        if not codes[largest]:
            return None
        for source in self._sources(tensor, codes.size):
            biases = self._numbers.items(source, codes.size).astype(np.float64)
            for scales, channels in self._scales:
                if channels not in (1, codes.size):
                    continue
                step = float(self._numbers.items(scales, 1, largest if channels > 1 else 0)[0])
                for factor_bits in self._factors(float(biases[largest]), int(codes[largest]), step):
                    scaled = Term(Scaled.number, (scales, factor_bits))
                    for single in (0, 1):
                        term = Term(BiasCodes.number, (source, scaled, channels, single))
                        if np.array_equal(self._numbers.items(term, codes.size), codes):
                            return term
        return None

    @cached_property
    def _scales(self) -> list[tuple[Term, int]]:
        """The scales of all `codes` and how many they are, each once."""
        return list(dict.fromkeys((coded.scales, coded.channels) for coded in self.codes.values()))

    @cached_property
    def _scalars(self) -> Items:
        """All single numbers of the new file, rising: among them are the scales of activations."""
        single = [tensor for tensor in self._tensors if tensor.data_type in KINDS and items_of(tensor) == 1]
        found = [floats.read(self._octets(tensor), KINDS[tensor.data_type]).astype(np.float32) for tensor in single]
        return np.unique(np.concatenate(found)) if found else np.empty(0, np.float32)

    def _factors(self, bias: float, code: int, step: float) -> list[int]:
        """Patterns of those single numbers by which `step` may be scaled, for `bias` to be rounded to `code`."""
        about = bias / (code * step) if step else 0.0
        margin = 1 / abs(code) + _SINGLE_PRECISION
        low, high = sorted((about * (1 - margin), about * (1 + margin)))
        near = self._scalars[(self._scalars >= low) & (self._scalars <= high)]
        return [int(bits) for bits in near.view(np.uint32)]


def _wrong(expected: Items, actual: Items) -> float:
    return float(np.mean(expected.astype(np.int16) != actual[: expected.size]))
