"""`low_rank`: float32 weights or int8 codes of the base plus a matrix of low rank, and perhaps a gain for each row.

Fine-tuning moves a layer mostly within few directions (Aghajanyan et al. 2020, https://arxiv.org/abs/2012.13255; Hu et
al. 2021, LoRA, https://arxiv.org/abs/2106.09685), so few factors explain much of the change, and corrections need fewer
bits. The factors are small integers: their products add up exactly in float64 whatever the order of additions, so any
BLAS gives the same sums; two multiplications and one addition per weight follow, which IEEE 754 fixes.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from delta.arrays import ITEM_TYPES, Items, Octets, octets
from delta.errors import PatchMalformed
from delta.floats import is_finite
from delta.spans import Piece, Sources

Factors = npt.NDArray[np.float64]

MAX_RANK = 256
MAX_FACTORS = 1 << 20
MAX_EXPONENT = 64
MAX_ROW_ITEMS = 1 << 17
"""The longest row: a piece restores whole rows."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A tensor as `outer` x `rows` x `columns`: the matrix has `rows` rows and the other two as columns."""

    outer: int
    rows: int
    columns: int

    @property
    def items(self) -> int:
        return self.outer * self.rows * self.columns


@dataclass(frozen=True, slots=True)
class Change:
    """What is expected to change: `left` (rows x rank) and `right` (rank x outer x columns), integers.

    Their sum over the ranks is in units of `step`, times a power of two for each row (`row_scales`: rows) and column
    (`column_scales`: outer x columns). A gain (`gains`: rows) is in units of `GAIN_UNIT` of the old weight.
    """

    shape: Shape
    step: float
    left: Factors
    right: Factors
    gains: Factors
    row_scales: Factors
    column_scales: Factors

    def applied(self, old: Items, first: int) -> Items:
        """`old`, the items (float32 or int8) from `first` on, moved: in float64, rounded to their own type once.

        Codes are rounded half to even and clipped.
        """
        columns = self.shape.columns
        start, stop = first // columns, -(-(first + old.size) // columns)
        sums = self._rows(start, stop).reshape(-1)[first - start * columns :][: old.size]
        factors = np.repeat(self.gains[np.arange(start, stop) % self.shape.rows] * GAIN_UNIT + 1.0, columns)
        factors = factors[first - start * columns :][: old.size]
        with np.errstate(all="ignore"):
            sums *= self.step
            sums += old * factors
            if old.dtype == np.int8:
                return np.clip(np.rint(sums, out=sums), -128, 127).astype(np.int8)
            return sums.astype(np.float32)

    def _rows(self, start: int, stop: int) -> Factors:
        """Rows `start` to `stop` of all `outer * rows`, each of `columns` sums."""
        parts = []
        while start < stop:
            outer, row = divmod(start, self.shape.rows)
            count = min(stop - start, self.shape.rows - row)
            sums = self.left[row : row + count] @ self.right[:, outer]
            sums += 0.0  # a zero sum is positive, whichever sign a BLAS gave it
            sums *= self.row_scales[row : row + count, None]
            sums *= self.column_scales[outer]
            parts.append(sums)
            start += count
        return np.concatenate(parts)


GAIN_UNIT = 2.0**-16
_ITEMS = ("<f4", "|i1")


class LowRank:
    """The base's items moved by a `Change`, whose gains and factors stand in a stream of int16.

    The stream holds for each of `rank` components its `rows` items of `left` and `outer * columns` items of `right`,
    then as many exponents of two where `has_scales` is 1, then `rows` gains where `has_gains` is 1. Contexts see
    predicted zeros.
    """

    number = 9
    name = "low_rank"
    operands: tuple[str, ...] = (
        "base_offset",
        "layout",
        "item",
        "stream",
        "context",
        "outer",
        "rows",
        "columns",
        "rank",
        "has_scales",
        "has_gains",
        "step_bits",
    )
    reads_base = True
    expansion = 32

    def predict(self, piece: Piece, sources: Sources) -> Octets:
        base_offset, layout, item = piece.span.operands[:3]
        if item >= len(ITEM_TYPES) or ITEM_TYPES[item].str not in _ITEMS:
            raise PatchMalformed("a low-rank span has items that are neither float32 nor int8")
        kind = ITEM_TYPES[item]
        change = sources.prepared(lambda: _drawn_change(piece, sources))
        first, count = piece.start // kind.itemsize, piece.items(kind.itemsize)
        if first + count > change.shape.items:
            raise PatchMalformed("a span is longer than the matrix it is predicted from")
        old = sources.base_items(base_offset, layout, kind.itemsize, first, count).view(kind)
        return octets(change.applied(old, first))


def _drawn_change(piece: Piece, sources: Sources) -> Change:
    _, _, _, stream, context, outer, rows, columns, rank, has_scales, has_gains, step_bits = piece.span.operands
    shape = Shape(outer, rows, columns)
    length = rows + outer * columns
    count = (rank + has_scales) * length + has_gains * rows
    if not shape.items or columns > MAX_ROW_ITEMS or max(has_scales, has_gains) > 1 or not is_finite(step_bits):
        raise PatchMalformed("a low-rank span has an empty matrix, rows that are too long, or a wrong step")
    if not count or rank > MAX_RANK or max(count, length) > MAX_FACTORS or sources.item_type(stream) != np.dtype("<i2"):
        raise PatchMalformed("a low-rank span has no factors, too many, or factors of another type")
    contexts = sources.contexts(context, np.zeros(count, "<u2"), 0)
    drawn = sources.draw(stream, count, contexts).astype(np.float64)
    components = drawn[: rank * length].reshape(rank, length)
    exponents = drawn[rank * length :][:length] if has_scales else np.zeros(length)
    scales = np.ldexp(1.0, np.clip(exponents, -MAX_EXPONENT, MAX_EXPONENT).astype(np.int32))
    return Change(
        shape,
        step=float(np.uint32(step_bits).view(np.float32)),
        left=np.ascontiguousarray(components[:, :rows].T),
        right=components[:, rows:].reshape(rank, outer, columns),
        gains=drawn[count - rows :] if has_gains else np.zeros(rows),
        row_scales=scales[:rows],
        column_scales=scales[rows:].reshape(outer, columns),
    )
