"""What an error in a layer's matrix costs, from the layer's inputs and from what errors of its outputs cost. Pure numpy.

With gradients the cost of row `r` is the mean over samples of `(e_r . sum_p g_pr x_p)^2 / 2`: places of one sample add up before they are
squared, as they do in the net. Few samples say that for few directions only, so a part of each moment is that of independent places,
a share of all outputs' costs: Kronecker-factored (J. Martens and R. Grosse, arXiv:1503.05671; for convolutions arXiv:1602.01407).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Float32s = NDArray[np.float32]

OWN_MOMENTS_ITEMS = 1 << 26
"""With more numbers than these in the moments of all rows together, rows share one."""
MAX_POSITIONS = 1 << 14
"""Of a layer's inputs that a shared moment is taken over; more say little more, and cost time."""
INDEPENDENT = 0.3
"""The part of places taken as independent."""


@dataclass(frozen=True, slots=True)
class Moments:
    """`second_moment` [columns, columns] or [rows, columns, columns], and `row_costs` [rows] that scale it, as `assignment.Problem` has them."""

    second_moment: Floats
    row_costs: Floats


def without_slopes(inputs: Float32s, samples: int, cost: float, rows: int) -> Moments:
    """Of inputs [positions, columns] of so many samples, where every output costs the same for each squared error."""
    positions = len(inputs) / samples
    return Moments(_gram(inputs, None) * positions, np.full(rows, cost))


def with_slopes(inputs: Float32s, slopes: Float32s, *, independent: float = INDEPENDENT) -> Moments:
    """Of inputs [positions, columns] and slopes [samples, positions of a sample, rows]; inputs may be of more samples than slopes."""
    samples, places, rows = slopes.shape
    columns = inputs.shape[1]
    inputs = inputs[: samples * places]
    squares = np.square(slopes, dtype=np.float32).reshape(-1, rows)
    # The nearest product of a cost for each row and one for each place.
    by_row = squares.mean(axis=0, dtype=np.float64)
    by_place = squares.mean(axis=1, dtype=np.float64) / max(float(by_row.mean()), 1e-300)
    shared = _gram(inputs, by_place) * places / 2
    least = max(1e-4 * float(by_row.max()), 1e-300)
    by_row = np.maximum(by_row, least)
    if rows * columns**2 > OWN_MOMENTS_ITEMS:
        return Moments(shared, by_row)
    # [samples, rows, columns]: the gradient of each sample's answer by each weight.
    gradients = np.matmul(slopes.transpose(0, 2, 1), inputs.reshape(samples, places, columns))
    by_weight = np.ascontiguousarray(gradients.transpose(1, 0, 2))
    own = np.matmul(by_weight.transpose(0, 2, 1), by_weight).astype(np.float64) / (2 * samples)
    return Moments((1 - independent) * own + independent * by_row[:, None, None] * shared, np.ones(rows))


def affine_with_slopes(normal: Float32s, slopes: Float32s, *, independent: float = INDEPENDENT) -> Floats:
    """[channels, 2, 2] of gains and shifts: of what gains are put to [positions, channels], and slopes [samples, positions of a sample, channels]."""
    samples, places, _ = slopes.shape
    values = normal[: samples * places].reshape(slopes.shape)
    by_place = np.stack((slopes * values, slopes))
    by_sample = by_place.sum(axis=2, dtype=np.float64)
    together = np.einsum("ans,bns->sab", by_sample, by_sample)
    apart = np.einsum("anps,bnps->sab", by_place, by_place, dtype=np.float64)
    found: Floats = ((1 - independent) * together + independent * apart) / (2 * samples)
    return found


def affine_without_slopes(normal: Float32s, samples: int, cost: float) -> Floats:
    """Likewise, where every output costs the same for each squared error."""
    values = normal.astype(np.float64)
    first, second = values.mean(axis=0), np.square(values).mean(axis=0)
    found = np.array([[second, first], [first, np.ones_like(first)]])
    moved: Floats = np.moveaxis(found, -1, 0) * (cost * len(normal) / samples)
    return moved


def odd_stride(count: int) -> int:
    """Between positions that are looked at: odd, or columns of an image would be left out."""
    stride = -(-count // MAX_POSITIONS)
    return stride + 1 - stride % 2


def _gram(inputs: Float32s, weights: Floats | None) -> Floats:
    """The mean of x x' over evenly spaced positions, each with its weight."""
    stride = odd_stride(len(inputs))
    chosen = inputs[::stride]
    scaled = chosen if weights is None else chosen * np.sqrt(weights[::stride, None]).astype(np.float32)
    found: Floats = (scaled.T @ scaled).astype(np.float64) / len(chosen)
    return found
