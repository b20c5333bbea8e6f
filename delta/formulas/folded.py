"""Batch normalisation folded into the layer before it, as exporters and ONNX Runtime's optimiser fold it.

`w * gain` and `(b - mean) * gain + beta` with `gain = gamma / sqrt(variance + epsilon)`, each operation rounded to
float32 (onnxruntime/core/optimizer/conv_bn_fusion.cc, `ConvBNFusion::Apply`). Batch normalisation is Ioffe and Szegedy
2015 (https://arxiv.org/abs/1502.03167).
"""

import numpy as np

from delta.errors import PatchMalformed
from delta.floats import Floats, quiet
from delta.formulas.base import Formula, Values
from delta.formulas.quantised import MAX_CHANNELS
from delta.quantisation import spread


class Gains:
    """What batch normalisation multiplies each channel by; `epsilon_bits` is the pattern of a float32."""

    number = 10
    name = "gains"
    operands: tuple[str, ...] = ("gammas", "variances", "epsilon_bits")
    inputs = 2

    def items(self, formula: Formula, first: int, count: int, values: Values) -> Floats:
        gammas, variances, epsilon_bits = formula.operands
        if epsilon_bits >= 1 << 32:
            raise PatchMalformed("an epsilon is no float32")
        epsilon = np.uint32(epsilon_bits).view(np.float32)
        with np.errstate(all="ignore"):
            # The root of a float32, rounded to float64 and then to float32, is the one rounded once.
            roots = np.sqrt((_singles(variances, first, count, values) + epsilon).astype(np.float64)).astype(np.float32)
            return quiet(_singles(gammas, first, count, values) / roots)


class Multiplied:
    """Weights times the gain of their channel, which changes every `inner` weights."""

    number = 11
    name = "multiplied"
    operands: tuple[str, ...] = ("weights", "gains", "channels", "inner")
    inputs = 2

    def items(self, formula: Formula, first: int, count: int, values: Values) -> Floats:
        weights, gains, channels, inner = formula.operands
        if not 0 < channels <= MAX_CHANNELS or not inner:
            raise PatchMalformed("weights to be multiplied have no channels, too many, or no extent")
        of_channels = values.once(("gains", gains, channels), 0, channels, lambda: _singles(gains, 0, channels, values))
        with np.errstate(all="ignore"):
            return quiet(_singles(weights, first, count, values) * spread(of_channels, first, count, inner))


class FoldedBias:
    """The bias of a layer that had one."""

    number = 12
    name = "folded_bias"
    operands: tuple[str, ...] = ("biases", "means", "gains", "betas")
    inputs = 4

    def items(self, formula: Formula, first: int, count: int, values: Values) -> Floats:
        biases, means, gains, betas = (_singles(one, first, count, values) for one in formula.operands)
        with np.errstate(all="ignore"):
            return quiet((biases - means) * gains + betas)


class NewBias:
    """The bias of a layer that had none."""

    number = 13
    name = "new_bias"
    operands: tuple[str, ...] = ("means", "gains", "betas")
    inputs = 3

    def items(self, formula: Formula, first: int, count: int, values: Values) -> Floats:
        means, gains, betas = (_singles(one, first, count, values) for one in formula.operands)
        with np.errstate(all="ignore"):
            return quiet(betas - means * gains)


def _singles(number: int, first: int, count: int, values: Values) -> Floats:
    found = values.floats(number, first, count)
    if found.dtype != np.float32:
        raise PatchMalformed("only float32 is folded")
    return found
