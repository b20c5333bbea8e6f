"""Grids, codes and float formats against the programs that made them: ONNX Runtime's quantiser and converter, ml_dtypes."""

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto
from onnxruntime.capi._pybind_state import quantize_matmul_4bits, quantize_matmul_8bits
from onnxruntime.quantization import quant_utils
from onnxruntime.quantization.base_quantizer import BaseQuantizer
from onnxruntime.transformers.float16 import convert_np_to_float16

from delta import floats, quantisation
from delta.floats import BFLOAT16, FLOAT16, FLOAT32, FLOAT64
from delta.quantisation import (
    ASYMMETRIC,
    ASYMMETRIC_ROUNDED,
    BLOCKS,
    INT4,
    INT8,
    SYMMETRIC,
    SYMMETRIC_BLOCKS,
    UINT4,
    UINT8,
    Rule,
)

_TYPES = {
    INT8: TensorProto.INT8,
    UINT8: TensorProto.UINT8,
    INT4: TensorProto.INT4,
    UINT4: TensorProto.UINT4,
}
CHANNELS = 24


def channels_of_all_kinds(kind: type[np.floating]) -> NDArray[np.floating]:
    """Rows: wide, narrow, one-sided, far from zero, zeros of both signs, subnormal, and near the greatest number."""
    numbers = np.random.default_rng(3)
    rows = numbers.normal(0, 1, (CHANNELS, 90)) * np.exp2(numbers.integers(-12, 4, (CHANNELS, 1)))
    rows[0], rows[1] = np.abs(rows[0]), -np.abs(rows[1])
    rows[2] += 100
    rows[3], rows[4] = 0.0, -0.0
    rows[5] = float(np.finfo(kind).smallest_subnormal) * numbers.integers(-9, 9, 90)
    rows[6] = float(np.finfo(kind).max) * numbers.uniform(-0.9, 0.9, 90)
    return rows.astype(kind)


@pytest.mark.parametrize("kind", [np.float32, np.float16])
@pytest.mark.parametrize("code_type", [INT8, UINT8, INT4, UINT4])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("reduced", [True, False])
def test_grids_and_codes_are_onnx_runtimes(
    kind: type[np.floating], code_type: int, *, symmetric: bool, reduced: bool
) -> None:
    onnx_type = _TYPES[code_type]
    low, high = quant_utils.get_qmin_qmax_for_qType(onnx_type, reduced, symmetric)
    rule = Rule(code_type, -int(low), int(high), SYMMETRIC if symmetric else ASYMMETRIC)
    weights = channels_of_all_kinds(kind)
    lowest, highest = np.zeros(CHANNELS, kind), np.zeros(CHANNELS, kind)
    for first in range(0, weights.size, 1000):
        quantisation.widen_peaks(lowest, highest, weights.reshape(-1)[first : first + 1000], first, 90)
    grid = quantisation.grid_of(lowest, highest, rule)
    for channel, row in enumerate(weights):
        zero_point, scale, codes = quant_utils.quantize_data(row, onnx_type, symmetric, reduced)
        assert scale.astype(kind).tobytes() == grid.scales[channel].tobytes()
        assert int(zero_point) == int(grid.zero_points[channel])
        expected = quantisation.codes(row, grid.scales[[channel]], grid.zero_points[[channel]], rule)
        assert np.array_equal(codes.astype(np.int16), expected.astype(np.int16))


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
def test_blocks_are_those_of_matmulnbits(bits: int, *, symmetric: bool) -> None:
    """One-sided blocks, blocks of zeros, and blocks whose weights lie halfway between codes."""
    rows, columns, block = 256, 48, 32
    blocks, codes_per_byte = rows // block, 8 // bits
    weights = np.random.default_rng(6).normal(0, 0.1, (rows, columns)).astype(np.float32)
    weights[:block, 0], weights[block : 2 * block, 0] = np.abs(weights[:block, 1]), -np.abs(weights[:block, 2])
    weights[:block, 1] = 0
    weights[:block, 2] = np.arange(block) * np.float32(0.5) - (4 if symmetric else 0)
    packed = np.zeros((columns, blocks, block // codes_per_byte), np.uint8)
    scales, points = np.zeros((columns, blocks), np.float32), np.zeros((columns, blocks // codes_per_byte), np.uint8)
    quantise = quantize_matmul_4bits if bits == 4 else quantize_matmul_8bits
    quantise(packed, weights, scales, points, block, columns, rows, symmetric)
    turned = np.ascontiguousarray(weights.T).reshape(-1)
    lowest, highest = np.zeros(scales.size, np.float32), np.zeros(scales.size, np.float32)
    quantisation.widen_peaks(lowest, highest, turned, 0, block)
    laying = SYMMETRIC_BLOCKS if symmetric else BLOCKS
    rule = Rule(UINT4 if bits == 4 else UINT8, 0, (1 << bits) - 1, laying)
    grid = quantisation.grid_of(lowest, highest, rule)
    assert grid.scales.tobytes() == scales.tobytes()
    if not symmetric:
        assert np.array_equal(grid.zero_points, unpacked(points, bits))
    steps, centres = (quantisation.spread(one, 0, turned.size, block) for one in (grid.scales, grid.zero_points))
    assert np.array_equal(quantisation.codes(turned, steps, centres, rule), unpacked(packed, bits))


def unpacked(plain: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    plain = plain.reshape(-1)
    return plain if bits == 8 else np.stack((plain & 15, plain >> 4), axis=1).reshape(-1)


def test_bias_codes_are_onnx_runtimes() -> None:
    numbers = np.random.default_rng(4)
    biases = numbers.normal(0, 1, 500).astype(np.float32)
    weight_scales = np.exp2(numbers.uniform(-40, 2, 500)).astype(np.float32)
    quantiser = BaseQuantizer.__new__(BaseQuantizer)
    found: dict[str, NDArray[np.generic]] = {}
    quantiser.weight_qType = TensorProto.INT8
    quantiser.model = _Kept(biases, found)
    input_scale = np.float32(0.0123)
    quantiser.quantize_bias_static_impl("bias", np.array(input_scale), weight_scales)
    scales = quantisation.scaled(weight_scales, input_scale)
    assert found["bias_quantized_scale"].tobytes() == scales.tobytes()
    assert np.array_equal(found["bias_quantized"], quantisation.bias_codes(biases, scales, np.dtype(np.float64)))


def test_earlier_releases_rounded_ranges_and_quotients_to_single_precision() -> None:
    """As onnxruntime 1.16 has it: `numpy.array(rmax - rmin, dtype=numpy.float64)`, `np.asarray(bias_data) / bias_scale`."""
    numbers = np.random.default_rng(7)
    lowest, highest = (numbers.uniform(*ends, 4000).astype(np.float32) for ends in ((-1, 0), (0, 1)))
    grid = quantisation.grid_of(lowest, highest, Rule(UINT8, 0, 255, ASYMMETRIC_ROUNDED))
    scales = np.array(highest - lowest, np.float64) / 255
    assert np.array_equal(grid.scales, scales.astype(np.float32))
    assert np.array_equal(grid.zero_points, np.round(0 - lowest / scales))
    assert not np.array_equal(
        grid.scales, quantisation.grid_of(lowest, highest, Rule(UINT8, 0, 255, ASYMMETRIC)).scales
    )
    steps = np.exp2(numbers.uniform(-30, -20, 4000)).astype(np.float32)
    found = quantisation.bias_codes(highest, steps, np.dtype(np.float32))
    assert np.array_equal(found, (highest / steps).round().astype(np.int32))
    assert not np.array_equal(found, quantisation.bias_codes(highest, steps, np.dtype(np.float64)))


class _Kept:
    """The part of a quantiser's model that a bias needs: it is read, and what comes of it is appended."""

    def __init__(self, bias: NDArray[np.float32], found: dict[str, NDArray[np.generic]]) -> None:
        self._bias = quant_utils.onnx.numpy_helper.from_array(bias, "bias")
        self._found = found

    def initializer(self) -> list[TensorProto]:
        return [self._bias]

    def initializer_extend(self, tensors: list[TensorProto]) -> None:
        self._found.update({one.name: quant_utils.onnx.numpy_helper.to_array(one) for one in tensors})


def patterns(width: int) -> NDArray[np.unsignedinteger]:
    """Patterns of floats of all sizes: every float16, a million of the wider ones, near ties among them."""
    if width == 2:
        return np.arange(1 << 16, dtype=np.uint16)
    numbers = np.random.default_rng(5)
    wild = numbers.integers(0, 1 << (8 * width - 1), 200_000, np.uint64) << np.uint64(1)
    kind = np.dtype(f"<u{width}")
    ties = (wild >> np.uint64(64 - 8 * width)).astype(kind) & kind.type((1 << 8 * width) - (1 << (8 * width - 20)))
    return np.concatenate((wild.astype(kind), ties, ties + kind.type(1), ties - kind.type(1)))


def test_bfloat16_is_rounded_as_ml_dtypes_does() -> None:
    numbers = patterns(4).view("<f4")
    numbers = numbers[~np.isnan(numbers)]
    with np.errstate(all="ignore"):
        expected = numbers.astype(ml_dtypes.bfloat16).view(np.uint16)
    assert np.array_equal(floats.rounded(numbers, BFLOAT16), expected)
    assert np.array_equal(floats.truncated(numbers), numbers.view("<u4") >> 16)
    assert np.array_equal(
        floats.read(expected.view(np.uint8), BFLOAT16), expected.view(ml_dtypes.bfloat16).astype("<f4")
    )


@pytest.mark.parametrize(("width", "kind", "other"), [(2, FLOAT16, FLOAT32), (4, FLOAT32, FLOAT64)])
def test_widening_and_narrowing_again_changes_nothing(width: int, kind: int, other: int) -> None:
    bits = patterns(width)
    numbers = floats.read(bits.view(np.uint8), kind)
    there = floats.rounded(numbers, other)
    back = floats.rounded(there, kind)
    strange = np.isnan(numbers)
    assert np.array_equal(back.view(bits.dtype)[~strange], bits[~strange])
    assert np.isnan(back[strange]).all()


@pytest.mark.parametrize("kind", [FLOAT16, BFLOAT16, FLOAT32, FLOAT64])
def test_a_converted_nan_has_no_sign_and_no_payload(kind: int) -> None:
    source = FLOAT64 if kind == FLOAT32 else FLOAT32
    strange = {FLOAT32: np.array([0xFFC12345, 0x7F800001], "<u4"), FLOAT64: np.array([0xFFF8000000000123] * 2, "<u8")}
    numbers = floats.read(strange[source].view(np.uint8), source)
    found = floats.rounded(numbers, kind)
    quiet = {FLOAT16: 0x7E00, BFLOAT16: 0x7FC0, FLOAT32: 0x7FC00000, FLOAT64: 0x7FF8000000000000}[kind]
    assert found.view(f"<u{found.itemsize}").tolist() == [quiet, quiet]


@pytest.mark.parametrize(("tiny", "huge"), [(5.96e-08, 65504.0), (1e-07, 1e4)])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_float16_is_clipped_as_onnx_runtimes_converter_does(tiny: float, huge: float) -> None:
    numbers = np.concatenate(
        (patterns(4).view("<f4"), np.array([tiny, huge, -tiny, -huge, 0, 70000, -70000, 3e-8], np.float32))
    )
    numbers = numbers[~np.isnan(numbers)]
    expected = convert_np_to_float16(numbers, tiny, huge)
    found = floats.rounded(floats.clipped(numbers, np.float32(tiny), np.float32(huge)), FLOAT16)
    assert found.tobytes() == expected.tobytes()
