"""`quantise`: int8 or uint8 codes computed from float32 weights of the base.

The formula is ONNX Runtime's own quantiser's (onnxruntime/quantization/quant_utils.py, `quantize_nparray`), per channel:
`clip(rint(w / scale) + zero_point)`, in float32. Division and rounding to even are fixed by IEEE 754, so every processor
gets the same codes; for codes that this quantiser made, no correction is needed.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from delta.arrays import ITEM_TYPES, Items, Octets
from delta.errors import PatchMalformed
from delta.spans import Piece, Sources

Weights = npt.NDArray[np.float32]


def codes(weights: Weights, scales: Weights, zero_points: Items, code_type: np.dtype[Any]) -> Octets:
    """The codes of `weights`, as bytes; all arrays of one shape. What is no number becomes the zero point or a bound."""
    bounds = np.iinfo(code_type)
    with np.errstate(all="ignore"):
        rounded = np.rint(weights / scales) + zero_points.astype(np.float32)
    bounded = np.clip(rounded, np.float32(bounds.min), np.float32(bounds.max))
    numbers = np.where(np.isnan(bounded), np.float32(0), bounded)
    return numbers.astype(np.int16).astype(np.uint8)


def channels_of(first: int, count: int, inner: int, channels: int) -> npt.NDArray[np.int64]:
    """The channel of items `first` to `first + count`: every `inner` items the next, round and round."""
    return (np.arange(first, first + count, dtype=np.int64) // inner) % channels


class Quantise:
    """Codes from the base's weights, with scales (float32) and zero points (of the codes' type) from the table.

    A table of scales or zero points starts at its operand and has one entry a channel.
    """

    number = 5
    name = "quantise"
    operands: tuple[str, ...] = (
        "base_offset",
        "layout",
        "scales_at",
        "zero_points_at",
        "channels",
        "inner",
        "code_item",
    )
    reads_base = True
    expansion = 32

    def predict(self, piece: Piece, sources: Sources) -> Octets:
        base_offset, layout, scales_at, zero_points_at, channels, inner, code_item = piece.span.operands
        if not channels or not inner or code_item >= len(ITEM_TYPES) or ITEM_TYPES[code_item].name not in _CODE_TYPES:
            raise PatchMalformed("a quantised span has no channels, no extent or no code type")
        code_type = ITEM_TYPES[code_item]
        channel = channels_of(piece.start, piece.length, inner, channels)
        scales = sources.table(scales_at, 4 * channels).view("<f4")
        zero_points = sources.table(zero_points_at, channels).view(code_type)
        weights = sources.base_items(base_offset, layout, 4, piece.start, piece.length).view("<f4")
        return codes(weights, scales[channel], zero_points[channel], code_type)


_CODE_TYPES = ("int8", "uint8")
