"""Every pair comes back byte for byte, and the pairs that releases make come back small."""

from pathlib import Path

import numpy as np
import pytest
import zstandard
from onnx import ModelProto, helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from delta.decoder import read_info
from delta.encoder import Effort, encode
from tests.delta.conftest import Models, RoundTrip, build

EFFORTS = pytest.mark.parametrize("effort", list(Effort))


def zstd_size(new: bytes) -> int:
    return len(zstandard.compress(new, 19))


@EFFORTS
def test_fine_tuned_floats_need_far_less_than_zstd(models: Models, round_trip: RoundTrip, effort: Effort) -> None:
    assert len(round_trip(models.fp32(), models.fine_tuned(), effort)) < 0.75 * zstd_size(models.fine_tuned())


@EFFORTS
def test_fine_tuned_half_floats_need_far_less_than_zstd(models: Models, round_trip: RoundTrip, effort: Effort) -> None:
    new = models.fp16(1e-4)
    assert len(round_trip(models.fp16(), new, effort)) < 0.6 * zstd_size(new)


@EFFORTS
def test_codes_quantised_from_the_base_cost_next_to_nothing(
    models: Models, round_trip: RoundTrip, effort: Effort
) -> None:
    assert len(round_trip(models.fp32(), models.int8(), effort)) < 0.08 * len(models.int8())


@EFFORTS
def test_requantised_codes_need_far_less_than_zstd(models: Models, round_trip: RoundTrip, effort: Effort) -> None:
    new = models.int8(2e-3)
    assert len(round_trip(models.int8(), new, effort)) < 0.7 * zstd_size(new)


@EFFORTS
@pytest.mark.parametrize("relation", ["renamed", "appended", "constants"])
def test_same_weights_in_another_graph_cost_a_hundredth(
    models: Models, round_trip: RoundTrip, effort: Effort, relation: str
) -> None:
    new = getattr(models, relation)()
    assert len(round_trip(models.fp32(), new, effort)) < 0.01 * len(new)


@EFFORTS
def test_retrained_and_packed_floats_need_less_than_zstd(models: Models, round_trip: RoundTrip, effort: Effort) -> None:
    new = models.retrained()
    assert len(round_trip(models.fp32(), new, effort)) < 0.92 * zstd_size(new)
    assert len(round_trip(None, new, effort)) < 0.92 * zstd_size(new)


def test_the_real_quantiser_leaves_no_corrections(tmp_path: Path) -> None:
    """ONNX Runtime quantises; the patch holds the graph, neither codes nor scales."""
    numbers = np.random.default_rng(3)
    weight = numbers.normal(0, 0.1, (256, 512)).astype(np.float32)
    model = ModelProto.FromString(build({"weight": weight}))
    model.graph.node[0].CopyFrom(helper.make_node("MatMul", ["image", "weight"], ["after.weight"]))
    model.graph.input[0].type.tensor_type.shape.CopyFrom(helper.make_tensor_type_proto(1, [1, 256]).tensor_type.shape)
    (tmp_path / "fp32").write_bytes(model.SerializeToString())
    quantize_dynamic(tmp_path / "fp32", tmp_path / "int8", per_channel=True, weight_type=QuantType.QInt8)
    report = encode(tmp_path / "fp32", tmp_path / "int8", tmp_path / "patch")
    assert report.bytes_by_method["computed"] >= weight.size
    assert report.ratio < 0.03


@pytest.mark.parametrize("size", [0, 1, 2, 127, 4096, 100_001])
def test_noise_costs_its_own_size_and_a_constant(round_trip: RoundTrip, size: int) -> None:
    noise = np.random.default_rng(1).bytes(size)
    assert len(round_trip(None, noise)) <= size + 200
    assert len(round_trip(b"something else", noise)) <= size + 200


def test_an_unchanged_file_costs_a_constant(models: Models, round_trip: RoundTrip) -> None:
    assert len(round_trip(models.fp32(), models.fp32())) < 200


def test_bytes_moved_around_are_copied(round_trip: RoundTrip) -> None:
    base = np.random.default_rng(5).bytes(300_000)
    new = base[150_000:] + b"in between" + base[:150_000]
    assert len(round_trip(base, new)) < 250


def test_a_patch_that_a_general_compressor_beats_is_packed(tmp_path: Path, models: Models) -> None:
    (tmp_path / "base").write_bytes(models.fp32())
    (tmp_path / "new").write_bytes(b"\0" * 100_000)
    report = encode(tmp_path / "base", tmp_path / "new", tmp_path / "patch")
    assert report.base is None
    assert report.patch_bytes < 250


@EFFORTS
def test_same_input_gives_the_same_patch(models: Models, round_trip: RoundTrip, effort: Effort) -> None:
    first = round_trip(models.fp32(), models.fine_tuned(), effort)
    assert round_trip(models.fp32(), models.fine_tuned(), effort) == first


def test_special_floats_survive(round_trip: RoundTrip) -> None:
    """NaN payloads, infinities, subnormals and both zeros, on either side of a difference."""
    bits = np.random.default_rng(9).integers(0, 1 << 32, (2, 20_000), dtype=np.uint32)
    bits[:, :6] = [0x7FC00001, 0xFFFFFFFF, 0x7F800000, 0x80000000, 0, 1]
    bits[1] = np.where(np.arange(20_000) % 2, bits[0], bits[1][::-1])
    old, new = (build({"weight": row.view(np.float32)}) for row in bits)
    round_trip(old, new)


def test_report_and_info_agree(tmp_path: Path, models: Models) -> None:
    (tmp_path / "base").write_bytes(models.fp32())
    (tmp_path / "new").write_bytes(models.fine_tuned())
    report = encode(tmp_path / "base", tmp_path / "new", tmp_path / "patch")
    info = read_info(tmp_path / "patch")
    assert info.patch_bytes == report.patch_bytes == (tmp_path / "patch").stat().st_size
    assert (info.base, info.target, info.spans) == (report.base, report.target, report.spans)
    assert sum(info.bytes_by_method.values()) == info.target.size_bytes
    assert set(info.spans) <= {"copy", "text", "literal", "copy+ordered"}
