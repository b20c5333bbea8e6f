"""Formulas of patches that nobody made with the encoder: what they give, and what is refused."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from delta import decoder
from delta.arrays import ITEM_NAMES
from delta.coders import zstd
from delta.errors import PatchMalformed
from delta.floats import FLOAT16, FLOAT32, FLOAT64
from delta.format import Header, Identity, serialise_index
from delta.formulas import OPERATIONS, Formula
from delta.formulas.converted import Clipped, Rounded
from delta.formulas.evaluation import MAX_STEPS
from delta.formulas.folded import FoldedBias, Gains, Multiplied, NewBias
from delta.formulas.quantised import MAX_CHANNELS, BiasCodes, Codes, Nibbles, Scaled, Scales, ZeroPoints
from delta.formulas.stored import Stored
from delta.layouts import Layout
from delta.predictors.computed import Computed
from delta.quantisation import INT4, INT8
from delta.spans import Span
from delta.versions import FORMAT_VERSION

WEIGHTS = np.array([[1.0, -2.0, 0.5, 0.25], [0.1, 0.2, -0.3, 0.0]], np.float32)
DOCUMENT = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
BYTE, HALF, SINGLE = (ITEM_NAMES.index(name) for name in ("u1", "u2", "u4"))
SCALES = Formula(Scales.number, (0, 8, 2, 4, INT8, 127, 127, 1))
STORED = Formula(Stored.number, (0, 0, FLOAT32))


def restore(
    folder: Path, formulas: list[Formula], item: int, expected: bytes, layouts: tuple[Layout, ...] = ()
) -> None:
    """Apply a patch with one span of the last formula, whose base is `WEIGHTS`; raise unless it gives `expected`."""
    base = WEIGHTS.tobytes()
    index = serialise_index(
        [], layouts, (), [Span(Computed.number, len(expected), (len(formulas) - 1, item))], formulas
    )
    coded = zstd.compress(index, level=3)
    old, new = (Identity(hashlib.sha256(plain).hexdigest(), len(plain)) for plain in (base, expected))
    header = Header(FORMAT_VERSION, old, new, 4096, 0, 0, 1, len(index), len(coded))
    (folder / "base").write_bytes(base)
    (folder / "patch").write_bytes(header.serialise() + coded)
    decoder.apply(folder / "base", folder / "patch", folder / "out")


def test_weights_become_half_precision(tmp_path: Path) -> None:
    formulas = [STORED, Formula(Rounded.number, (0, FLOAT16))]
    restore(tmp_path, formulas, HALF, WEIGHTS.astype("<f2").tobytes())


def test_scales_codes_zero_points_and_biases_follow_from_weights(tmp_path: Path) -> None:
    scales = (np.float64(2) * np.abs(WEIGHTS).max(1) / 254).astype(np.float32)
    restore(tmp_path, [STORED, SCALES], SINGLE, scales.tobytes())
    codes = np.rint(WEIGHTS / scales[:, None]).astype(np.int8)
    restore(tmp_path, [STORED, SCALES, Formula(Codes.number, (1,))], BYTE, codes.tobytes())
    restore(tmp_path, [STORED, SCALES, Formula(ZeroPoints.number, (1,))], BYTE, bytes(2))
    factor = np.float32(0.25)
    scaled = Formula(Scaled.number, (1, int(factor.view(np.uint32))))
    biases = np.rint(WEIGHTS[0, :2].astype(np.float64) / (scales * factor)).astype("<i4")
    restore(tmp_path, [STORED, SCALES, scaled, Formula(BiasCodes.number, (0, 2, 2, 0))], SINGLE, biases.tobytes())


def test_a_normalisation_is_folded_into_weights_and_biases(tmp_path: Path) -> None:
    """Each of two channels; gammas, betas, means and variances are pairs of neighbours among the weights."""
    channels = [Formula(Stored.number, (4 * place, 0, FLOAT32)) for place in (4, 5, 0, 2)]
    gammas, betas, means, variances = (WEIGHTS.reshape(-1)[place : place + 2] for place in (4, 5, 0, 2))
    epsilon = np.float32(1e-5)
    gains = gammas / np.sqrt(variances + epsilon)
    formulas = [*channels, Formula(Gains.number, (0, 3, int(epsilon.view(np.uint32))))]
    restore(tmp_path, formulas, SINGLE, gains.tobytes())
    multiplied = [*formulas, STORED, Formula(Multiplied.number, (5, 4, 2, 4))]
    restore(tmp_path, multiplied, SINGLE, (WEIGHTS * gains[:, None]).tobytes())
    new_bias = [*formulas, Formula(NewBias.number, (2, 4, 1))]
    restore(tmp_path, new_bias, SINGLE, (betas - means * gains).tobytes())
    folded_bias = [*formulas, Formula(FoldedBias.number, (0, 2, 4, 1))]
    restore(tmp_path, folded_bias, SINGLE, ((gammas - means) * gains + betas).tobytes())


def test_an_odd_number_of_nibbles_ends_beside_zero(tmp_path: Path) -> None:
    scales = Formula(Scales.number, (0, 7, 1, 7, INT4, 8, 7, 1))
    codes = np.rint(WEIGHTS.reshape(-1)[:7] / (np.float32(4) / np.float32(15))).clip(-8, 7).astype(np.int8) & 15
    packed = bytes([*(codes[:6:2] | codes[1:6:2] << 4).astype(np.uint8).tolist(), int(codes[6])])
    formulas = [STORED, scales, Formula(Codes.number, (1,)), Formula(Nibbles.number, (2, 7))]
    restore(tmp_path, formulas, BYTE, packed)


def chain(length: int) -> list[Formula]:
    """Each a rounding of the one before."""
    return [STORED, *(Formula(Rounded.number, (number, FLOAT32)) for number in range(length))]


def test_a_chain_as_long_as_allowed_is_computed(tmp_path: Path) -> None:
    restore(tmp_path, chain(MAX_STEPS - 1), SINGLE, WEIGHTS.tobytes())


def laid(*operands: int) -> Formula:
    return Formula(Scales.number, operands)


@pytest.mark.parametrize(
    ("formulas", "item", "length", "reason"),
    [
        ([Formula(Rounded.number, (0, FLOAT16))], HALF, 16, "does not stand before"),
        ([STORED, Formula(Rounded.number, (7, FLOAT16))], HALF, 16, "does not stand before"),
        (chain(MAX_STEPS), SINGLE, 32, "more than 32 steps"),
        ([Formula(Stored.number, (0, 0, 4))], SINGLE, 32, "kind of float"),
        ([Formula(Stored.number, (0, 1, FLOAT32))], SINGLE, 32, "unknown layout"),
        ([Formula(Stored.number, (4, 0, FLOAT32))], SINGLE, 32, "outside the base"),
        ([Formula(Stored.number, (1 << 62, 0, FLOAT32))], SINGLE, 32, "outside the base"),
        ([STORED, Formula(Rounded.number, (0, 9))], SINGLE, 32, "kind of float"),
        ([STORED, Formula(Clipped.number, (0, 1 << 31, 0))], SINGLE, 32, "no positive float32"),
        ([STORED], HALF, 16, "another width"),
        ([STORED], 99, 16, "unknown item type"),
        ([STORED], SINGLE, 15, "no whole number"),
        ([STORED, laid(0, 8, 0, 4, INT8, 127, 127, 1)], SINGLE, 8, "no channels"),
        ([STORED, laid(0, 8, MAX_CHANNELS + 1, 4, INT8, 127, 127, 1)], SINGLE, 8, "too many"),
        ([STORED, laid(0, 8, 2, 0, INT8, 127, 127, 1)], SINGLE, 8, "no extent"),
        ([STORED, laid(0, 8, 2, 4, 9, 127, 127, 1)], SINGLE, 8, "unknown type"),
        ([STORED, laid(0, 8, 2, 4, INT8, 0, 0, 1)], SINGLE, 8, "range"),
        ([STORED, laid(0, 8, 2, 4, INT8, 1 << 40, 0, 1)], SINGLE, 8, "range"),
        ([STORED, laid(0, 8, 2, 4, INT8, 127, 127, 5)], SINGLE, 8, "unknown way"),
        ([STORED, laid(0, 8, 2, 4, INT8, 127, 127, 2)], SINGLE, 8, "below zero"),
        ([STORED, laid(0, 9, 2, 4, INT8, 127, 127, 1)], SINGLE, 8, "outside the base"),
        ([STORED, laid(0, 1 << 60, 2, 4, INT8, 127, 127, 1)], SINGLE, 8, "more weights"),
        ([STORED, laid(0, 8, 2, 4, INT8, 127, 127, 1)], SINGLE, 12, "channels of 2"),
        (
            [STORED, Formula(Rounded.number, (0, FLOAT64)), laid(1, 4, 1, 4, INT8, 127, 127, 1)],
            SINGLE,
            4,
            "only float16 and float32",
        ),
        ([STORED, Formula(Codes.number, (0,))], BYTE, 8, "scales that are computed"),
        ([STORED, Formula(ZeroPoints.number, (0,))], BYTE, 8, "scales that are computed"),
        ([STORED, Formula(Rounded.number, (0, 1)), Formula(Rounded.number, (1, FLOAT32))], SINGLE, 32, "needs floats"),
        ([STORED, Formula(Nibbles.number, (0, 8))], BYTE, 4, "codes of a byte"),
        ([STORED, SCALES, Formula(Codes.number, (1,)), Formula(Nibbles.number, (2, 7))], BYTE, 5, "more bytes"),
        ([STORED, Formula(Scaled.number, (0, 1 << 32))], SINGLE, 8, "no float32"),
        ([STORED, SCALES, Formula(BiasCodes.number, (0, 1, 2, 2))], SINGLE, 8, "unknown precision"),
        ([STORED, Formula(Gains.number, (0, 0, 1 << 32))], SINGLE, 8, "no float32"),
        ([STORED, Formula(Multiplied.number, (0, 0, 0, 1))], SINGLE, 8, "no channels"),
        ([STORED, Formula(Multiplied.number, (0, 0, MAX_CHANNELS + 1, 1))], SINGLE, 8, "too many"),
        ([STORED, Formula(Multiplied.number, (0, 0, 2, 0))], SINGLE, 8, "no extent"),
        (
            [STORED, Formula(Rounded.number, (0, FLOAT16)), Formula(NewBias.number, (0, 0, 1))],
            SINGLE,
            8,
            "only float32",
        ),
    ],
)
def test_formulas_that_make_no_sense_are_malformed(
    tmp_path: Path, formulas: list[Formula], item: int, length: int, reason: str
) -> None:
    with pytest.raises(PatchMalformed, match=reason):
        restore(tmp_path, formulas, item, bytes(length))


def test_weights_of_a_layout_that_goes_on_for_ever_are_not_looked_at(tmp_path: Path) -> None:
    """Strides of zero: items without end from a base of 32 bytes."""
    endless = Layout((1 << 40,), (0,))
    formulas = [Formula(Stored.number, (0, 1, FLOAT32)), laid(0, 1 << 40, 1, 1, INT8, 127, 127, 1)]
    with pytest.raises(PatchMalformed, match="more weights"):
        restore(tmp_path, formulas, SINGLE, bytes(4), (endless,))


def test_the_document_names_every_operation_and_its_operands_in_order() -> None:
    for operation in OPERATIONS.values():
        inputs, others = operation.operands[: operation.inputs], operation.operands[operation.inputs :]
        operands = ", ".join((*(f"*`{one}`*" for one in inputs), *(f"`{one}`" for one in others)))
        row = rf"^\| {operation.number} \| `{operation.name}` \| {re.escape(operands)} \|"
        assert re.search(row, DOCUMENT, re.MULTILINE), operation.name


def test_operations_are_numbered_without_gaps() -> None:
    assert sorted(OPERATIONS) == list(range(len(OPERATIONS)))
    for operation in OPERATIONS.values():
        assert 0 <= operation.inputs <= len(operation.operands)
