"""Which whole number of steps each weight of a layer moves: the layer's error on real inputs against the bits of the numbers. Pure numpy.

A layer's output errs by `W x`, `W` being what the rung's weights lack; over the inputs that is `sum_r g_r W_r H W_r'`, with `H` the second
moment of the inputs and `g_r` what an error of output `r` costs (B. Hassibi and D. Stork, NIPS 1992; E. Frantar et al., GPTQ,
arXiv:2210.17323, section 3). To that come λ times the bits that an adaptive coder needs. Because inputs are correlated, a weight that
moves makes up for others that do not: the sum is lowered weight by weight, for all outputs of one column at once, under a λ that
rises to its value, and a number that is not worth its bits falls to zero when others have taken over what it did.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

MAX_CODE = 1000
DAMPING = 0.01
"""Share of the mean of the diagonal of `H` that is added to it: inputs that calibration never showed."""
_RISE = (0.03, 0.2, 1.0)
"""λ rises to its value in these shares, so that what is kept in the end has been chosen among many."""
_SWEEPS = 2
_ZEROS_EXPECTED = 9.0
"""Zeros for each weight that are taken for granted at first: where all codes differ from 0, a zero would seem the dearest of all."""


@dataclass(frozen=True, slots=True)
class BitCosts:
    """What an adaptive coder needs for a code: for zero, and for any other of a magnitude, sign included; float64 [MAX_CODE + 1]."""

    by_magnitude: Floats

    @classmethod
    def of(cls, codes: Codes, *, more_zeros: float = 0.0) -> "BitCosts":
        """From how often each magnitude came, half a count for each up to twice the largest (R. Krichevsky and V. Trofimov, 1981)."""
        counts = np.bincount(np.minimum(np.abs(codes).ravel(), MAX_CODE), minlength=MAX_CODE + 1).astype(np.float64)
        counts[0] += more_zeros
        known = min(2 * (int(np.flatnonzero(counts)[-1]) if counts.any() else 0) + 2, MAX_CODE)
        counts[: known + 1] += 0.5
        bits = np.log2(counts.sum()) - np.log2(np.maximum(counts, 1e-12))
        # Beyond what came: an exponential Golomb code after the rarest.
        magnitudes = np.arange(known + 1, MAX_CODE + 1)
        bits[known + 1 :] = bits[: known + 1].max() + 2 * np.log2(magnitudes - known + 1)
        bits[1:] += 1
        return cls(bits)

    def bits(self, codes: Codes) -> Floats:
        """Of each code."""
        return self.by_magnitude[np.minimum(np.abs(codes), MAX_CODE)]

    def total(self, codes: Codes) -> float:
        """Of all codes together."""
        return float(self.bits(codes).sum())


@dataclass(frozen=True, slots=True)
class Problem:
    """One matrix of differences, float64 [rows, columns], and what an error in it costs.

    Attributes:
        second_moment: of the inputs, [columns, columns], or one for each row, [rows, columns, columns].
        row_costs: [rows]; it scales the moment of each row.
    """

    difference: Floats
    second_moment: Floats
    row_costs: Floats

    def error(self, sent: Floats) -> float:
        """What it costs to send `sent` [rows, columns] of the difference."""
        lacking = self.difference - sent
        return float((self.row_costs * (self.pulls(lacking) * lacking).sum(axis=1)).sum())

    def pulls(self, lacking: Floats) -> Floats:
        """Half the slope of each row's error, without the row's cost: [rows, columns]."""
        if self.second_moment.ndim == 2:
            return lacking @ self.second_moment
        found: Floats = np.matmul(lacking[:, None, :], self.second_moment)[:, 0, :]
        return found

    def diagonal(self) -> Floats:
        """Of the moment, for each row: [rows, columns]."""
        found: Floats = np.broadcast_to(np.diagonal(self.second_moment, axis1=-2, axis2=-1), self.difference.shape)
        return found

    def damped(self) -> "Problem":
        """With something on the diagonal, so that every column has a cost."""
        diagonal = np.diagonal(self.second_moment, axis1=-2, axis2=-1)
        extra = np.maximum(DAMPING * diagonal.mean(axis=-1), 1e-12)
        eye = np.eye(self.second_moment.shape[-1], dtype=self.second_moment.dtype)
        return Problem(self.difference, self.second_moment + extra[..., None, None] * eye, self.row_costs)


@dataclass(frozen=True, slots=True)
class Assigned:
    """Codes [rows, columns] and what they cost: the layer's error, and bits."""

    codes: Codes
    error: float
    bits: float


def assign(problem: Problem, step: float, bit_cost: float) -> Assigned:
    """Codes for one step at `bit_cost` (λ, error per bit): 0 gives the nearest, a very large one no code at all.

    Raises:
        ValueError: the step is not positive.
    """
    if step <= 0 or not np.isfinite(step):
        raise ValueError(f"a step must be positive: {step}")
    codes = np.clip(np.rint(problem.difference / step), -MAX_CODE, MAX_CODE).astype(np.int64)
    if bit_cost > 0:
        damped = problem.damped()
        costs = BitCosts.of(codes, more_zeros=_ZEROS_EXPECTED * codes.size)
        for share in _RISE:
            for _ in range(_SWEEPS):
                codes = _sweep(damped, codes, step, share * bit_cost, costs)
                costs = BitCosts.of(codes)
        codes = _unless_nothing_is_better(problem, codes, step, bit_cost)
    return _assigned(problem, codes, step)


def _assigned(problem: Problem, codes: Codes, step: float) -> Assigned:
    sent: Floats = step * codes.astype(np.float64)
    return Assigned(codes, problem.error(sent), BitCosts.of(codes).total(codes))


def _unless_nothing_is_better(problem: Problem, codes: Codes, step: float, bit_cost: float) -> Codes:
    """No code at all where that costs less together, though no single weight would go first."""
    nothing = np.zeros_like(codes)
    found, none = _assigned(problem, codes, step), _assigned(problem, nothing, step)
    return codes if found.error + bit_cost * found.bits <= none.error + bit_cost * none.bits else nothing


def assign_together(
    problems: Sequence[Problem], steps: Sequence[float], bit_cost: float
) -> tuple[float, list[Assigned]]:
    """The one step for all under which error and bits cost least: from the middle of `steps`, which rise, on to what costs less.

    Raises:
        ValueError: there are no steps.
    """
    if not steps:
        raise ValueError("no steps to choose from")
    prices: dict[int, float] = {}
    found: dict[int, list[Assigned]] = {}

    def price(place: int) -> float:
        if not 0 <= place < len(steps):
            return float("inf")
        if place not in prices:
            found[place] = [assign(problem, steps[place], bit_cost) for problem in problems]
            prices[place] = sum(one.error + bit_cost * one.bits for one in found[place])
        return prices[place]

    best = len(steps) // 2
    # Upwards first: larger steps are done sooner. Downwards past one that does nothing either.
    for ways in ((1,), (-1, -2)):
        while better := next((way for way in ways if price(best + way) < price(best)), 0):
            best += better
    return steps[best], found[best]


def _sweep(problem: Problem, codes: Codes, step: float, bit_cost: float, costs: BitCosts) -> Codes:
    """Each column once, all rows at a time: the code that is best while all others stay."""
    moment, diagonal = problem.second_moment, problem.diagonal()
    pulls = problem.pulls(problem.difference - step * codes)
    codes = codes.copy()
    for column in np.argsort(-diagonal.mean(axis=0), kind="stable"):
        own = diagonal[:, column]
        now = codes[:, column]
        ideal = np.clip(now + pulls[:, column] / (own * step), -MAX_CODE, MAX_CODE)
        low = np.floor(ideal).astype(np.int64)
        choices = np.stack(
            (np.zeros_like(low), low, np.minimum(low + 1, MAX_CODE), np.trunc(ideal / 2).astype(np.int64))
        )
        prices = problem.row_costs * own * step**2 * np.square(ideal - choices) + bit_cost * costs.bits(choices)
        wanted = choices[prices.argmin(axis=0), np.arange(len(low))]
        moved = np.flatnonzero(wanted != now)
        if moved.size:
            along = moment[column] if moment.ndim == 2 else moment[moved, column]
            pulls[moved] -= step * (wanted - now)[moved, None] * along
            codes[moved, column] = wanted[moved]
    return codes
