"""The tensor as its counterpart moved within few directions, plus small changes: see `predictors.low_rank`.

How many directions, and how coarsely, follows from what they save: a component of power s in a matrix of n items takes
that power out of the residual, which costs half a binary logarithm per item, and brings in factors that cost theirs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from delta.arrays import Items
from delta.encoder.base_tensors import Counterpart
from delta.encoder.scene import Scene
from delta.encoder.tensors import TensorRef
from delta.encoder.way import ContextPlan, InContext, Proposal
from delta.encoder.ways.moved import Prediction, in_context
from delta.entropy.symbols import Mapping
from delta.predictors.low_rank import (
    GAIN_UNIT,
    MAX_EXPONENT,
    MAX_FACTORS,
    MAX_RANK,
    MAX_ROW_ITEMS,
    Change,
    LowRank,
    Shape,
)

Matrix = npt.NDArray[np.float64]
Exponents = npt.NDArray[np.int32]

_DATA_TYPES = {1: "<f4", 3: "|i1"}
MIN_ITEMS = 1 << 11
_MIN_SAVING_BITS = 512.0
_GAUSSIAN = 17.08
"""2 * pi * e: an integer of variance v takes about half the binary logarithm of 1 + 2 * pi * e * v bits."""
_LARGEST_FACTOR = (1 << 15) - 1
_MAX_SIDE = 3072
"""The eigenvectors of a larger matrix would take longer than all the rest."""
_CLASSES = 32
_ALIKE_OCTAVES = 1.0
"""Where rows differ in scale by less than this (a standard deviation), they count as alike."""
_GAIN_BITS = 12.0
_EXPONENT_BITS = 3.0
_STAGES = 4
"""How often the rank is looked for anew with what the last one left over: a large component hides how others lie."""


def propose(tensor: TensorRef, scene: Scene) -> Iterator[Proposal]:
    """For each counterpart: the best of its matrices as it is, and the best with rows and columns made alike."""
    if tensor.data_type not in _DATA_TYPES or not scene.settings.contexts:
        return
    values = scene.values(tensor)
    if values.size < MIN_ITEMS:
        return
    for old in scene.base.counterparts(tensor):
        old_values = scene.base.values(old)
        with np.errstate(all="ignore"):
            moved = values.astype(np.float64) - old_values
        if not np.isfinite(moved).all() or not moved.any():
            continue
        for alike in (False, True):
            fits = [_fit(moved, old_values, shape, alike=alike) for shape in _shapes(tensor.dims)]
            found = [fit for fit in fits if fit is not None]
            if found:
                best = max(found, key=lambda fit: fit.saved_bits)
                yield from _ways(tensor, values, old, old_values, best.change)


@dataclass(frozen=True, slots=True)
class _Fit:
    """A change, and about how many bits it saves."""

    change: Change
    saved_bits: float


def _shapes(dims: tuple[int, ...]) -> list[Shape]:
    """The matrices a tensor can be seen as: every axis as rows, and the leading axes together."""
    whole = [dim for dim in dims if dim > 1]
    shapes = []
    for axis, rows in enumerate(whole):
        outer = int(np.prod(whole[:axis], dtype=np.int64))
        shapes.append(Shape(outer, rows, int(np.prod(whole[axis + 1 :], dtype=np.int64))))
        if 0 < axis < len(whole) - 1:
            shapes.append(Shape(1, outer * rows, shapes[-1].columns))
    fitting = {shape for shape in shapes if shape.columns <= MAX_ROW_ITEMS and shape.rows > 1}
    return sorted(fitting, key=lambda shape: (shape.outer, shape.rows))


def _fit(moved: Matrix, old: Items, shape: Shape, *, alike: bool) -> _Fit | None:
    """A change for one matrix; with `alike`, of rows and columns scaled to be so, and none where they are already."""
    matrix = _as_matrix(moved, shape)
    if not 1 < min(matrix.shape) <= _MAX_SIDE or 4 * sum(matrix.shape) > MAX_FACTORS:
        return None
    old_matrix = _as_matrix(old.astype(np.float64), shape)
    ulps = _ulps(old_matrix, old)
    before = float(_Sample.of(matrix, ulps).bits(np.ones(1))[0])
    gains = _gains(matrix, old_matrix)
    rest = matrix - old_matrix * (gains[:, None] * GAIN_UNIT)
    row_exponents, column_exponents = _exponents(rest, ulps)
    if not alike:
        row_exponents, column_exponents = np.zeros_like(row_exponents), np.zeros_like(column_exponents)
    elif not row_exponents.any() and not column_exponents.any():
        return None
    scales = np.ldexp(1.0, row_exponents)[:, None] * np.ldexp(1.0, column_exponents)
    rest /= scales
    left, right, powers = _components(rest)
    power, plan = float(np.square(rest).sum()), _Plan(0, 0.0, before)
    for _ in range(_STAGES):
        left_over = rest - left[:, : plan.rank] @ (np.sqrt(powers[: plan.rank])[:, None] * right[: plan.rank])
        found = _ranked(powers, power, plan.rank, _Sample.of(left_over * scales, ulps))
        plan, last = found, plan
        if plan.rank == last.rank:
            break
    scale_bits = _EXPONENT_BITS * (np.count_nonzero(row_exponents) + np.count_nonzero(column_exponents))
    saved = before - plan.bits - _GAIN_BITS / 2 * np.count_nonzero(gains) - scale_bits
    if saved < _MIN_SAVING_BITS or (plan.rank == 0 and not gains.any()):
        return None
    left, right, step = _quantised(left[:, : plan.rank], right[: plan.rank], powers[: plan.rank], plan.unit)
    change = Change(
        shape,
        step=step,
        left=left,
        right=right.reshape(right.shape[0], shape.outer, shape.columns),
        gains=gains,
        row_scales=np.ldexp(1.0, row_exponents),
        column_scales=np.ldexp(1.0, column_exponents).reshape(shape.outer, shape.columns),
    )
    return _Fit(change, saved)


@dataclass(frozen=True, slots=True)
class _Sample:
    """Some items of a matrix of changes: the variance that row and column suggest there, by that of rounding."""

    precisions: Matrix
    shape: tuple[int, int]

    @classmethod
    def of(cls, changes: Matrix, ulps: Matrix) -> "_Sample":
        """Of changes to items whose neighbouring numbers are `ulps` apart."""
        places = np.arange(0, changes.size, max(changes.size >> 13, 1) | 1)
        rows, columns = np.divmod(places, changes.shape[1])
        squares = np.square(changes)
        variances = squares.mean(axis=1)[rows] * squares.mean(axis=0)[columns] / max(float(squares.mean()), 1e-300)
        return cls(variances / np.square(ulps.reshape(-1)[places]), (changes.shape[0], changes.shape[1]))

    def bits(self, shares: Matrix) -> Matrix:
        """What the whole matrix costs if so large a share of its variance is left, for each."""
        bits: Matrix = 0.5 * np.log2(1 + _GAUSSIAN * shares[:, None] * self.precisions).mean(axis=1) * prod(self.shape)
        return bits

    @property
    def floor(self) -> float:
        """The share of the variance below which residuals round to nothing, at the median item that changes."""
        changing = self.precisions[self.precisions > 0]
        return 1 / (12 * float(np.median(changing))) if changing.size else 1.0


@dataclass(frozen=True, slots=True)
class _Plan:
    """How many components, what their factors are integers of, and what residual and factors cost."""

    rank: int
    unit: float
    bits: float


def _ranked(powers: Matrix, power: float, least: int, sample: _Sample) -> _Plan:
    """The cheapest rank from `least` on, whose residual was sampled.

    Noise of rounded factors may add what finer factors would cost (the sum's derivative is 0).
    """
    length, count = sum(sample.shape), prod(sample.shape)
    # Of what may be drawn, one part is for the scales and one for the gains.
    ranks = np.arange(min(powers.size, MAX_RANK, MAX_FACTORS // length - 2) + 1)
    explained = np.concatenate((np.zeros(1), np.cumsum(powers)))[ranks]
    shares = np.maximum(power - explained, 0) / max(power - explained[least], 1e-300)
    noises = (shares + sample.floor) * np.minimum(ranks * length / count, 0.3)
    # A component of power s has factors of mean square sqrt(s / count) on both sides, each rounded to units.
    sizes = np.sqrt(np.maximum(powers, 0) / count)
    sums = np.concatenate((np.full(1, 1e-300), np.cumsum(sizes)))[ranks]
    squares = 6 * noises * (power - explained[least]) / count / np.maximum(sums, 1e-300)
    bits = sample.bits(shares + noises)
    for rank in ranks[1:]:
        bits[rank] += 0.5 * length * np.log2(1 + _GAUSSIAN * sizes[:rank] / squares[rank]).sum()
    rank = least + int(bits[least:].argmin())
    return _Plan(rank, float(np.sqrt(squares[rank])), float(bits[rank]))


def _ulps(matrix: Matrix, old: Items) -> Matrix:
    """How far from each item, seen as a matrix, the next number of its type is."""
    if old.dtype.kind == "i":
        return np.ones(matrix.shape)
    tiny = np.finfo(old.dtype).tiny
    ulps: Matrix = np.spacing(np.maximum(np.abs(matrix).astype(old.dtype), tiny)).astype(np.float64)
    return ulps


def _exponents(matrix: Matrix, ulps: Matrix) -> tuple[Exponents, Exponents]:
    """Powers of two that make rows and columns alike, where they differ enough to pay for saying so.

    Rounding moved all of them: what is smaller than that is noise, and not made larger.
    """
    rounding = float(np.square(ulps).mean()) / 12
    rows = _powers_of_two(np.square(matrix).mean(axis=1) + rounding)
    columns = _powers_of_two(np.square(matrix * np.ldexp(1.0, -rows)[:, None]).mean(axis=0) + rounding)
    return rows, columns


def _powers_of_two(variances: Matrix) -> Exponents:
    logarithms = np.log2(np.maximum(variances, 1e-300)) / 2
    if np.std(logarithms) < _ALIKE_OCTAVES:
        return np.zeros(variances.size, np.int32)
    exponents = np.rint(logarithms - np.median(logarithms))
    return np.clip(exponents, -MAX_EXPONENT // 2, MAX_EXPONENT // 2).astype(np.int32)


def _as_matrix(items: Matrix, shape: Shape) -> Matrix:
    """Rows by everything else."""
    return np.ascontiguousarray(items.reshape(shape.outer, shape.rows, shape.columns).transpose(1, 0, 2)).reshape(
        shape.rows, -1
    )


def _gains(matrix: Matrix, old: Matrix) -> Matrix:
    """For each row, what the old weights were multiplied by, less one, in units: where weight decay or scaling did."""
    energy = np.maximum(np.square(old).sum(axis=1), 1e-300)
    gains = np.rint((matrix * old).sum(axis=1) / energy / GAIN_UNIT)
    gains = np.clip(gains, -_LARGEST_FACTOR, _LARGEST_FACTOR)
    rest = matrix - old * (gains[:, None] * GAIN_UNIT)
    explained = 1 - np.square(rest).sum() / max(np.square(matrix).sum(), 1e-300)
    saved = -0.5 * np.log2(max(1 - explained, 1e-9)) * matrix.size
    return gains if saved > _GAIN_BITS * gains.size else np.zeros(gains.size)


def _components(matrix: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    """Left vectors (columns), right vectors (rows) and squared singular values, the largest first."""
    rows, columns = matrix.shape
    small = matrix @ matrix.T if rows <= columns else matrix.T @ matrix
    powers, vectors = np.linalg.eigh(small)
    powers, vectors = np.maximum(powers[::-1][:MAX_RANK], 0), vectors[:, ::-1][:, :MAX_RANK]
    scale = 1 / np.sqrt(np.maximum(powers, 1e-300))
    if rows <= columns:
        return vectors, (vectors * scale).T @ matrix, powers
    return matrix @ (vectors * scale), vectors.T, powers


def _quantised(left: Matrix, right: Matrix, powers: Matrix, unit: float) -> tuple[Matrix, Matrix, float]:
    """Factors as integers in units of the square root of the step, both sides of a component equally large."""
    if powers.size == 0:
        return left, right, 0.0
    balance = (right.shape[1] / left.shape[0]) ** 0.25
    sizes = powers**0.25
    left, right = left * (sizes / balance), right * (sizes * balance)[:, None]
    largest = float(max(np.abs(left).max(), np.abs(right).max()))
    step = float(np.float32(max(unit, largest / _LARGEST_FACTOR) ** 2))
    if not np.isfinite(step) or step < np.finfo(np.float32).tiny:
        return left[:, :0], right[:0], 0.0
    left, right = np.rint(left / np.sqrt(step)), np.rint(right / np.sqrt(step))
    bound = float(_LARGEST_FACTOR)
    return np.clip(left, -bound, bound), np.clip(right, -bound, bound), step


def _ways(tensor: TensorRef, values: Items, old: Counterpart, old_values: Items, change: Change) -> Iterator[Proposal]:
    shape, rank = change.shape, change.left.shape[1]
    length = shape.rows + shape.outer * shape.columns
    components = np.concatenate(
        (change.left.T, change.right.reshape(rank, -1 if rank else length - shape.rows)), axis=1
    )
    scales = np.rint(np.log2(np.concatenate((change.row_scales, change.column_scales.reshape(-1)))))
    parts = [*components, *([scales] if scales.any() else []), *([change.gains] if change.gains.any() else [])]
    drawn = np.concatenate(parts).astype("<i2")
    operands = (
        old.tensor.offset,
        old.layout,
        tensor.item,
        shape.outer,
        shape.rows,
        shape.columns,
        rank,
        int(scales.any()),
        int(change.gains.any()),
        int(np.float32(change.step).view(np.uint32)),
    )
    sizes = np.array([np.sqrt(np.square(part).mean()) for part in parts])
    classes = np.clip(np.rint(2 * np.log2(sizes + 0.01)), 0, _CLASSES - 1).astype(np.int16)
    plan = ContextPlan(Mapping.TOKENS, "factors", count=_CLASSES, shifts=classes, inner=length)
    guess = InContext("factors", drawn, plan, plan.contexts(np.zeros_like(drawn)))
    prediction = Prediction(LowRank.number, operands, change.applied(old_values, 0), guess)
    yield from in_context(tensor, values, prediction)
