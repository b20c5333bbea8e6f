"""Grids of integer codes, as ONNX Runtime's own quantiser lays them (onnxruntime/quantization/quant_utils.py).

Only additions, multiplications, divisions and roundings that IEEE 754 fixes, in the precision that it uses, so every
processor gets its codes, scales and zero points to the bit.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from delta.arrays import Items
from delta.floats import Floats, quiet

INT8, UINT8, INT4, UINT4 = range(4)
"""Types of codes by their number in the format."""
BOUNDS = ((-128, 127), (0, 255), (-8, 7), (0, 15))


ASYMMETRIC, SYMMETRIC, BLOCKS, SYMMETRIC_BLOCKS, ASYMMETRIC_ROUNDED = range(5)
"""How grids are laid, by number in the format: as the quantiser in Python does, as that of `MatMulNBits` in C++ does, and
as the one in Python did in earlier releases: with the extent of a range rounded to the weights' type."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How a grid is laid: codes of a type, over the range from -`below` to `above`."""

    code_type: int
    below: int
    above: int
    laying: int

    @property
    def in_blocks(self) -> bool:
        return self.laying in (BLOCKS, SYMMETRIC_BLOCKS)

    @property
    def codes(self) -> np.dtype[Any]:
        """What a code is held as: int8 or uint8."""
        return np.dtype(np.int8 if BOUNDS[self.code_type][0] else np.uint8)


@dataclass(frozen=True, slots=True)
class Grid:
    """A scale (of the weights' type) and a zero point (int8 or uint8) for each channel."""

    scales: Floats
    zero_points: Items


def spread(of_channels: Items, first: int, count: int, inner: int) -> Items:
    """What items `first` to `first + count` have of their channels; one item where there is one channel."""
    if of_channels.size == 1:
        return of_channels
    runs = np.arange(first // inner, (first + count - 1) // inner + 2, dtype=np.int64)
    bounds = np.clip(runs * inner - first, 0, count)
    lengths = bounds[1:] - bounds[:-1]
    spread_out: Items = np.repeat(of_channels[runs[:-1] % of_channels.size], lengths)
    return spread_out


def widen_peaks(lowest: Floats, highest: Floats, items: Floats, first: int, inner: int) -> None:
    """Take `items`, the first of which has the number `first`, into the least and greatest of each channel, in place."""
    starts = np.arange(-(first % inner), items.size, inner).clip(0)
    channel = (starts + first) // inner % lowest.size
    with np.errstate(invalid="ignore"):
        np.fmin.at(lowest, channel, np.fmin.reduceat(items, starts))
        np.fmax.at(highest, channel, np.fmax.reduceat(items, starts))


def grid_of(lowest: Floats, highest: Floats, rule: Rule) -> Grid:
    """The grid of channels whose weights lie between `lowest` (0 or less) and `highest` (0 or more): `compute_scale_zp`.

    A channel without extent gets scale 1 and zero point 0.
    """
    if rule.in_blocks:
        return _grid_of_blocks(lowest, highest, rule)
    symmetric = rule.laying == SYMMETRIC
    low, high = lowest.astype(np.float64), highest.astype(np.float64)
    if symmetric:
        high = np.maximum(-low, high)
        low = -high
    with np.errstate(all="ignore"):
        extents = (highest - lowest).astype(np.float64) if rule.laying == ASYMMETRIC_ROUNDED else high - low
        exact = extents / np.float64(rule.below + rule.above)
        scales = exact.astype(lowest.dtype)
        middle = np.full(scales.size, (rule.above - rule.below) / 2.0)
        zero_points = np.rint(middle if symmetric else -rule.below - low / exact)
    half = lowest.dtype == np.float16
    flat = scales < np.finfo(np.float16).smallest_subnormal if half else exact < np.finfo(np.float32).tiny
    scales[flat] = 1
    zero_points[flat] = 0
    bounded = np.clip(np.nan_to_num(zero_points), *BOUNDS[rule.code_type])
    return Grid(scales, bounded.astype(np.int16).astype(rule.codes))


def _grid_of_blocks(lowest: Floats, highest: Floats, rule: Rule) -> Grid:
    """Every step in float32, codes from 0 on: `range2scale` and `range2scalezp`.

    Source: onnxruntime/core/mlas/lib/q4_dq.cpp, `BlockwiseQuantizer`. A scale may be negative, and zero.
    """
    # Adding zero takes the sign from zeros, which minima and maxima leave to the processor.
    low, high = lowest + np.float32(0), highest + np.float32(0)
    with np.errstate(all="ignore"):
        if rule.laying == SYMMETRIC_BLOCKS:
            middle = np.float32((rule.above + 1) // 2)
            scales: Floats = np.where(high > -low, high, low) / -middle
            zero_points = np.full(scales.size, middle)
        else:
            scales = (high - low) / np.float32(rule.above)
            zero_points = np.clip(np.where(scales != 0, -low / scales, low), 0, rule.above)
    return Grid(quiet(scales), np.nan_to_num(_away_from_zero(zero_points)).astype(rule.codes))


def codes(weights: Floats, scales: Floats, zero_points: Items, rule: Rule) -> Items:
    """The codes of `weights`, by arrays that broadcast with them: `quantize_nparray`, or for blocks `quantizeAndPack`.

    What is no number becomes 0 or a bound.
    """
    low, high = BOUNDS[rule.code_type]
    single, steps, points = (numbers.astype(np.float32) for numbers in (weights, scales, zero_points))
    with np.errstate(all="ignore"):
        if rule.in_blocks:
            rounded = _away_from_zero(single * np.where(steps != 0, np.float32(1) / steps, np.float32(0)) + points)
        else:
            rounded = np.rint(single / steps) + points
    bounded = np.clip(rounded, np.float32(low), np.float32(high))
    numbers = np.where(np.isnan(bounded), np.float32(0), bounded)
    return numbers.astype(np.int16).astype(rule.codes)


def _away_from_zero(numbers: Floats) -> Floats:
    """The nearest whole numbers, ties away from zero, as C's `roundf`."""
    whole = np.trunc(numbers)
    rounded: Floats = whole + np.where(np.abs(numbers - whole) >= 0.5, np.sign(numbers), np.float32(0))
    return rounded


def bias_codes(biases: Floats, scales: Floats, quotient: np.dtype[Any]) -> Items:
    """`rint(bias / scale)` within int32: `quantize_bias_static_impl`.

    `quotient` is what it divides in: float64 now, float32 in earlier releases.
    """
    bounds = np.iinfo(np.int32)
    with np.errstate(all="ignore"):
        rounded = np.rint(biases.astype(quotient) / scales.astype(quotient)).astype(np.float64)
    bounded = np.nan_to_num(rounded, posinf=bounds.max, neginf=bounds.min).clip(bounds.min, bounds.max)
    found: Items = bounded.astype(np.int32)
    return found


def scaled(scales: Floats, factor: np.float32) -> Floats:
    """Scales times a factor, rounded once."""
    with np.errstate(all="ignore"):
        products = scales.astype(np.float32) * factor
        return quiet(products.astype(scales.dtype))
