"""The noise of a fine-tune, where theory says what it must be."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper, numpy_helper

from benchmarks.peers.bounds import noise_bytes
from benchmarks.peers.pairs import Made, Pair, PairClass, write_pair

Arrays = dict[str, np.ndarray[Any, Any]]
GAUSSIAN_BITS = 0.5 * math.log2(2 * math.pi * math.e)


def written(folder: Path, pair_class: PairClass, old: Arrays, new: Arrays) -> Pair:
    def model(arrays: Arrays) -> bytes:
        tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
        return bytes(helper.make_model(helper.make_graph([], "g", [], [], tensors)).SerializeToString())

    return write_pair(folder, pair_class, "p", "a test", Made(new=model(new), base=model(old)))


def test_gaussian_changes_cost_their_entropy_at_the_resolution_of_the_weights(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    # Between 1 and 2 float32s are 2^-23 apart.
    old = random.uniform(1.2, 1.8, (4, 50_000)).astype(np.float32)
    scales = np.array([[0.001], [0.002], [0.004], [0.008]])
    new = (old + random.standard_normal(old.shape) * scales).astype(np.float32)
    noise = noise_bytes(written(tmp_path, PairClass.FINE_TUNED, {"w": old}, {"w": new}))
    bits = sum(GAUSSIAN_BITS + math.log2(scale) + 23 for scale in scales.ravel()) * 50_000
    assert noise == pytest.approx(bits / 8, rel=0.001)


def test_codes_cost_their_entropy_around_the_old_code_on_the_new_grid(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    codes = random.integers(-60, 60, (2, 50_000))
    # The first channel's grid halves, so that its codes double.
    centre = codes * np.array([[2], [1]])
    new = np.rint(centre + 4 * random.standard_normal(codes.shape)).clip(-128, 127).astype(np.int8)
    scales = [np.array(values, np.float32) for values in ((0.02, 0.01), (0.01, 0.01))]
    arrays = [{"w_quantized": c, "w_scale": s} for c, s in zip((codes.astype(np.int8), new), scales, strict=True)]
    noise = noise_bytes(written(tmp_path, PairClass.INT8_FINE_TUNED, arrays[0], arrays[1]))
    assert noise == pytest.approx((GAUSSIAN_BITS + math.log2(4)) * codes.size / 8, rel=0.01)


def test_other_classes_are_no_noise(pair: Pair, tmp_path: Path) -> None:
    weights = {"w": np.ones((40, 40), np.float32)}
    assert noise_bytes(written(tmp_path / "other", PairClass.GENTLE, weights, weights)) is None
    assert noise_bytes(pair)
