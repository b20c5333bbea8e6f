"""Recognising what ONNX Runtime's quantiser made from weights of the base: codes, and what it computes for them.

Names help to look in the right place first. What counts is content: codes are those of a weight if they come out of it,
and scales, zero points and scales of biases are what comes out of the same computation, whatever they are called.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from delta import floats
from delta.arrays import Items, Octets, octets
from delta.corrections import add
from delta.encoder.numbers import KINDS, Numbers, items_of, resemble
from delta.encoder.onnx_tensors import TensorRef
from delta.encoder.terms import Term
from delta.floats import FLOAT16, FLOAT32
from delta.formulas.converted import Rounded
from delta.formulas.quantised import MAX_CHANNELS, BiasCodes, Codes, Nibbles, Scaled, Scales, ZeroPoints
from delta.formulas.stored import Stored
from delta.quantisation import INT4, INT8, UINT4, UINT8

MIN_BYTES = 16
"""Smaller tensors are cheaper as text."""
MAX_CORRECTED = 0.02
"""A larger share of wrong codes means that these weights are not where the codes come from."""
_SAMPLE_ITEMS = 512
_ALIKE_SIGNS = 0.6
"""Correlation of signs: channels on scales of their own may correlate less in their values."""
_INT32 = 6

_RANGES = {
    3: (INT8, ((127, 127, True), (64, 64, True), (128, 127, False), (128, 127, True))),
    2: (UINT8, ((0, 255, False), (0, 127, False), (0, 255, True), (0, 127, True))),
    22: (INT4, ((8, 7, True), (8, 7, False))),
    21: (UINT4, ((0, 15, False), (0, 15, True))),
}
"""By ONNX data type of codes: below and above zero, symmetric or not, as `get_qmin_qmax_for_qType` has them, the usual
ones first."""
_FOUR_BITS = (21, 22)


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
        for tensor in self._tensors:
            if tensor.data_type in _RANGES and tensor.size >= MIN_BYTES and prod(tensor.dims) > 0:
                coded = self._coded(tensor)
                if coded is not None:
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

    @cached_property
    def by_content(self) -> dict[bytes, Term]:
        """Scales and zero points of all `codes`, scales of all `biases`, as bytes."""
        found = {}
        for coded in self.codes.values():
            for term in (Term(ZeroPoints.number, (coded.scales,)), coded.scales):
                found[octets(self._numbers.items(term, coded.channels)).tobytes()] = term
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
        count = prod(tensor.dims)
        plain = self._octets(tensor)
        packed = tensor.data_type in _FOUR_BITS
        if plain.size != ((count + 1) // 2 if packed else count):
            return None
        numbers = _unpacked(plain, tensor.data_type)[:count]
        nearest, least = None, MAX_CORRECTED * plain.size + 4 * MAX_CHANNELS
        for source in self._sources(tensor, count):
            if not self._comes_from(numbers, source):
                continue
            for scales, channels in _grids(tensor, source, count):
                codes = Term(Codes.number, (scales,))
                if _wrong(self._numbers.items(codes, min(count, _SAMPLE_ITEMS)), numbers) > MAX_CORRECTED:
                    continue
                term = Term(Nibbles.number, (codes, count)) if packed else codes
                corrections = add.residual(plain, octets(self._numbers.items(term, plain.size)))
                wrong = int(np.count_nonzero(corrections))
                missed = wrong + (0 if self._is_there(scales, channels) else 4 * channels)
                if wrong <= MAX_CORRECTED * plain.size and missed < least:
                    nearest, least = Coded(term, corrections if wrong else corrections[:0], scales, channels), missed
                if not least:
                    return nearest
        return nearest

    def _is_there(self, scales: Term, channels: int) -> bool:
        """Whether the new file has just these scales: codes of symmetric channels do not tell a gain."""
        return octets(self._numbers.items(scales, channels)).tobytes() in self._contents

    @cached_property
    def _contents(self) -> set[bytes]:
        """The bytes of all tensors of floats that may be scales."""
        small = [one for one in self._tensors if one.data_type in KINDS and items_of(one) <= MAX_CHANNELS]
        return {self._octets(tensor).tobytes() for tensor in small}

    def _comes_from(self, codes: Items, source: Term) -> bool:
        """Whether sampled codes resemble the numbers they would come from."""
        one, other = [], []
        for first in (0, max(codes.size // 2 - _SAMPLE_ITEMS, 0)):
            sample = codes[first : first + _SAMPLE_ITEMS]
            one.append(sample.astype(np.float64))
            other.append(self._numbers.items(source, sample.size, first).astype(np.float64))
        sampled, expected = np.concatenate(one), np.concatenate(other)
        signs, expected_signs = (np.sign(some - np.median(some)) for some in (sampled, expected))
        return resemble(sampled, expected) or resemble(signs, expected_signs, _ALIKE_SIGNS)

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
                for factor_bits in self._factors(biases[largest] / (int(codes[largest]) * step), int(codes[largest])):
                    scaled = Term(Scaled.number, (scales, factor_bits))
                    term = Term(BiasCodes.number, (source, scaled, channels))
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

    def _factors(self, about: float, code: int) -> list[int]:
        """Patterns of those single numbers that a rounding to `code` leaves possible."""
        margin = 1 / abs(code)
        low, high = sorted((about * (1 - margin), about * (1 + margin)))
        near = self._scalars[(self._scalars >= low) & (self._scalars <= high)]
        return [int(bits) for bits in near.view(np.uint32)]


def _grids(tensor: TensorRef, source: Term, count: int) -> Iterator[tuple[Term, int]]:
    """Scales that the quantiser may have computed: of the whole tensor, and of the channels of each axis."""
    axes = [(1, count)]
    for place, extent in enumerate(tensor.dims):
        if 1 < extent <= MAX_CHANNELS:
            axes.append((extent, prod(tensor.dims[place + 1 :])))
    code_type, ranges = _RANGES[tensor.data_type]
    for below, above, symmetric in ranges:
        for channels, inner in axes:
            laid = (count, channels, inner, code_type, below, above, int(symmetric))
            yield Term(Scales.number, (source, *laid)), channels


def _wrong(expected: Items, actual: Items) -> float:
    return float(np.mean(expected.astype(np.int16) != actual[: expected.size]))


def _unpacked(plain: Octets, data_type: int) -> Items:
    """Codes as numbers, one an item."""
    if data_type not in _FOUR_BITS:
        return plain.view(np.int8 if data_type == 3 else np.uint8).astype(np.int16)
    nibbles = np.stack((plain & 15, plain >> 4), axis=1).reshape(-1).astype(np.int16)
    return np.where(nibbles > 7, nibbles - 16, nibbles) if data_type == 22 else nibbles
