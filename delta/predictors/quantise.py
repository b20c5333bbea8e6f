"""`quantise`: int8 or uint8 codes of float32 weights of the base, on scales that the patch brings.

For scales that do not follow from the weights; where they do, formulas compute them (`delta.formulas.quantised`).
"""

from delta.arrays import ITEM_NAMES, ITEM_TYPES, Octets, octets
from delta.errors import PatchMalformed
from delta.quantisation import ASYMMETRIC, INT8, SYMMETRIC, UINT8, Rule, codes, spread
from delta.spans import Piece, Sources


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
        if not channels or not inner or code_item not in RULES:
            raise PatchMalformed("a quantised span has no channels, no extent or no code type")
        code_type = ITEM_TYPES[code_item]
        scales = sources.table(scales_at, 4 * channels).view("<f4")
        zero_points = sources.table(zero_points_at, channels).view(code_type)
        scales, zero_points = (spread(one, piece.start, piece.length, inner) for one in (scales, zero_points))
        weights = sources.base_items(base_offset, layout, 4, piece.start, piece.length).view("<f4")
        return octets(codes(weights, scales, zero_points, RULES[code_item]))


RULES = {
    ITEM_NAMES.index("i1"): Rule(INT8, 127, 127, SYMMETRIC),
    ITEM_NAMES.index("u1"): Rule(UINT8, 0, 255, ASYMMETRIC),
}
"""By item type of the codes. Of a rule, only the type matters here: scales are given."""
