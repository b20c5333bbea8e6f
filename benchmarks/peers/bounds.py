"""What a fine-tune costs at best if its difference is plain noise: the reference for how much is left to gain.

Each output channel's difference is taken as Gaussian with the channel's own standard deviation, which a codec would still have to
send or learn, and which is not counted. A codec that knows more of the difference than its scale can be below it. Bytes that are
no weights are left out.
"""

import math
from collections.abc import Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from benchmarks.peers.pairs import Pair, PairClass

Array = NDArray[np.generic]
Doubles = NDArray[np.float64]

MIN_WEIGHTS = 32
# Of onnxruntime's quantiser.
CODES, SCALE = "_quantized", "_scale"


def noise_bytes(pair: Pair) -> float | None:
    """Of the classes that fine-tune every weight; `None` for others, whose differences are no such noise."""
    if pair.base is None or pair.pair_class not in (PairClass.FINE_TUNED, PairClass.INT8_FINE_TUNED):
        return None
    old, new = (
        {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer} for path in (pair.base, pair.new)
    )
    bits = _float_bits if pair.pair_class is PairClass.FINE_TUNED else _code_bits
    return sum(bits(old, new)) / 8


def _float_bits(old: dict[str, Array], new: dict[str, Array]) -> Iterator[float]:
    """Differential entropy at the resolution of the new weights: -log2(density(difference) x spacing)."""
    for name, array in new.items():
        if array.dtype == np.float32 and array.size >= MIN_WEIGHTS and name in old:
            change = _by_channel(array) - _by_channel(old[name])
            variance = np.maximum(np.square(change).mean(axis=1, keepdims=True), 1e-24)
            density_bits = 0.5 * (np.log2(2 * math.pi * variance) + np.square(change) / variance * math.log2(math.e))
            spacing = np.spacing(np.abs(array)).astype(np.float64)
            yield float(np.maximum(density_bits - np.log2(_by_channel(spacing)), 0).sum())


def _code_bits(old: dict[str, Array], new: dict[str, Array]) -> Iterator[float]:
    """The probability of each code under a Gaussian around the old code on the new grid."""
    for name, array in new.items():
        if name.endswith(CODES) and array.dtype == np.int8 and array.size >= MIN_WEIGHTS and name in old:
            scale = name.removesuffix(CODES) + SCALE
            # A channel of zeros has any scale.
            ratio = np.asarray(old[scale], np.float64) / np.maximum(np.asarray(new[scale], np.float64), 1e-30)
            last = ratio.size not in (1, array.shape[0])
            codes, before = (_by_channel(a.swapaxes(0, -1) if last else a) for a in (array, old[name]))
            centre = before * ratio.reshape(-1, 1)
            deviation = np.sqrt(np.maximum(np.square(codes - centre).mean(axis=1, keepdims=True), 1e-3))
            above, below = ((codes + half - centre) / deviation for half in (0.5, -0.5))
            yield float(-np.log2(np.maximum(_normal(above) - _normal(below), 2.0**-40)).sum())


def _by_channel(array: Array) -> Doubles:
    """float64 [output channels, rest]; ONNX's recurrent weights have a first axis of 1."""
    if array.ndim < 2:
        return np.asarray(array, np.float64).reshape(1, -1)
    return np.asarray(array, np.float64).reshape(array.shape[0] if array.shape[0] > 1 else array.shape[1], -1)


def _normal(x: Doubles) -> Doubles:
    """The cumulative distribution of the normal distribution."""
    erf: Doubles = np.vectorize(math.erf, otypes=[np.float64])(x / math.sqrt(2))
    return 0.5 * (1 + erf)
