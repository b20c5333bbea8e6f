"""Codes of weights, with the scales and zero points that ONNX Runtime's quantiser computes from the same weights."""

import numpy as np

from delta import quantisation
from delta.arrays import Items
from delta.errors import PatchMalformed
from delta.floats import Floats
from delta.formulas.base import Formula, Values
from delta.quantisation import ASYMMETRIC_ROUNDED, BLOCKS, BOUNDS, SYMMETRIC_BLOCKS, Grid, Rule, spread

MAX_CHANNELS = 1 << 16
_CHUNK_ITEMS = 1 << 14


class Scales:
    """The scale of each channel of `count` weights; the channel changes every `inner` weights.

    `code_type`, `below`, `above` and `laying` are those of `quantisation.Rule`.
    """

    number = 4
    name = "scales"
    operands: tuple[str, ...] = (
        "weights",
        "count",
        "channels",
        "inner",
        "code_type",
        "below",
        "above",
        "laying",
    )
    inputs = 1

    def items(self, formula: Formula, first: int, count: int, values: Values) -> Floats:
        return _channels(_grid(formula, values).scales, first, count)


class ZeroPoints:
    """The zero point of each channel that has a scale."""

    number = 5
    name = "zero_points"
    operands: tuple[str, ...] = ("scales",)
    inputs = 1

    def items(self, formula: Formula, first: int, count: int, values: Values) -> Items:
        return _channels(_grid(_scales(formula.operands[0], values), values).zero_points, first, count)


class Codes:
    """The codes of the weights that `scales` were computed from."""

    number = 6
    name = "codes"
    operands: tuple[str, ...] = ("scales",)
    inputs = 1

    def items(self, formula: Formula, first: int, count: int, values: Values) -> Items:
        scales = _scales(formula.operands[0], values)
        grid = _grid(scales, values)
        weights, _, _, inner, *rule = scales.operands
        floats = values.floats(weights, first, count)
        scales_of_items, zero_points = (spread(one, first, count, inner) for one in (grid.scales, grid.zero_points))
        return quantisation.codes(floats, scales_of_items, zero_points, Rule(*rule))


class Nibbles:
    """`count` codes, two to a byte, the first one below; an odd one beside zero."""

    number = 7
    name = "nibbles"
    operands: tuple[str, ...] = ("codes", "count")
    inputs = 1

    def items(self, formula: Formula, first: int, count: int, values: Values) -> Items:
        codes, total = formula.operands
        if 2 * (first + count) > total + 1:
            raise PatchMalformed("a span has more bytes than codes to fill them")
        wanted = min(2 * count, total - 2 * first)
        found = values.items(codes, 2 * first, wanted)
        if found.dtype.itemsize != 1:
            raise PatchMalformed("only codes of a byte can be packed")
        pairs = np.zeros(2 * count, np.uint8)
        pairs[:wanted] = found.view(np.uint8) & 15
        return pairs[::2] | pairs[1::2] << 4


class Scaled:
    """Scales times a float32, given as a pattern, rounded to the type of the scales: those of a layer's bias."""

    number = 8
    name = "scaled"
    operands: tuple[str, ...] = ("scales", "factor_bits")
    inputs = 1

    def items(self, formula: Formula, first: int, count: int, values: Values) -> Floats:
        scales, factor_bits = formula.operands
        if factor_bits >= 1 << 32:
            raise PatchMalformed("a factor is no float32")
        numbers = values.floats(scales, first, count)
        return quantisation.scaled(numbers, np.uint32(factor_bits).view(np.float32))


class BiasCodes:
    """The int32 codes of biases: `channels` is 1 where they share one scale, else how many there are.

    They are divided in float32 where `single` is 1, else in float64.
    """

    number = 9
    name = "bias_codes"
    operands: tuple[str, ...] = ("biases", "scales", "channels", "single")
    inputs = 2

    def items(self, formula: Formula, first: int, count: int, values: Values) -> Items:
        biases, scales, channels, single = formula.operands
        if single > 1:
            raise PatchMalformed("biases are divided in an unknown precision")
        numbers = values.floats(biases, first, count)
        shared = channels == 1
        steps = values.floats(scales, 0 if shared else first, 1 if shared else count)
        return quantisation.bias_codes(numbers, steps, np.dtype(np.float32 if single else np.float64))


def _channels(of_all: Items, first: int, count: int) -> Items:
    if first + count > of_all.size:
        raise PatchMalformed(f"a span wants {first + count} channels of {of_all.size}")
    return of_all[first : first + count]


def _scales(number: int, values: Values) -> Formula:
    formula = values.formula(number)
    if formula.operation != Scales.number:
        raise PatchMalformed("codes need scales that are computed from weights")
    return formula


def _grid(formula: Formula, values: Values) -> Grid:
    _, count, channels, inner, code_type, below, above, laying = formula.operands
    if not 0 < channels <= MAX_CHANNELS or not count or not inner:
        raise PatchMalformed("weights to be quantised have no channels, too many, or no extent")
    if code_type >= len(BOUNDS) or not below + above or below > 128 or above > 255:
        raise PatchMalformed("weights are to be quantised to an unknown type or range")
    rule = Rule(code_type, below, above, laying)
    out_of_range = below or not above or above > BOUNDS[code_type][1]
    if laying > ASYMMETRIC_ROUNDED or (rule.in_blocks and out_of_range):
        raise PatchMalformed("weights are to be quantised in an unknown way, or in blocks to codes below zero")
    return values.once(formula, count, 2 * channels, lambda: quantisation.grid_of(*_peaks(formula, values), rule))


def _peaks(formula: Formula, values: Values) -> tuple[Floats, Floats]:
    """The least and greatest weight of each channel, zero included."""
    weights, count, channels, inner = formula.operands[:4]
    laying = formula.operands[-1]
    lowest = highest = np.empty(0, np.float32)
    for first in range(0, count, _CHUNK_ITEMS):
        chunk = values.floats(weights, first, min(_CHUNK_ITEMS, count - first))
        if not first:
            lowest, highest = np.zeros(channels, chunk.dtype), np.zeros(channels, chunk.dtype)
        if chunk.dtype == np.float64 or (laying in (BLOCKS, SYMMETRIC_BLOCKS) and chunk.dtype != np.float32):
            raise PatchMalformed("only float16 and float32 are quantised, and in blocks only float32")
        quantisation.widen_peaks(lowest, highest, chunk, first, inner)
    return lowest, highest
