"""A small real pair: a net with a convolution and a dense layer, and the same with slightly other weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from benchmarks.peers.pairs import Made, Pair, PairClass, write_pair

Array = np.ndarray[Any, Any]


def small_weights(seed: int = 3) -> dict[str, Array]:
    random = np.random.default_rng(seed)
    return {
        "conv": random.standard_normal((8, 3, 3, 3), dtype=np.float32),
        "dense": random.standard_normal((40, 8 * 16), dtype=np.float32),
        "bias": random.standard_normal(40, dtype=np.float32),
    }


@pytest.fixture(scope="session")
def build_net(make_model: Callable[..., onnx.ModelProto]) -> Callable[[dict[str, Array]], onnx.ModelProto]:
    def build(weights: dict[str, Array]) -> onnx.ModelProto:
        nodes = [
            helper.make_node("Conv", ["x", "conv"], ["c"], pads=[1, 1, 1, 1], name="c"),
            helper.make_node("Relu", ["c"], ["r"], name="r"),
            helper.make_node("Flatten", ["r"], ["f"], name="f"),
            helper.make_node("Gemm", ["f", "dense", "bias"], ["y"], transB=1, name="g"),
        ]
        return make_model(
            nodes,
            inputs={"x": (TensorProto.FLOAT, ["N", 3, 4, 4])},
            outputs={"y": (TensorProto.FLOAT, ["N", 40])},
            weights=weights,
            opset=17,
        )

    return build


@pytest.fixture
def net(build_net: Callable[[dict[str, Array]], onnx.ModelProto]) -> onnx.ModelProto:
    return build_net(small_weights())


@pytest.fixture
def pair(build_net: Callable[[dict[str, Array]], onnx.ModelProto], tmp_path: Path) -> Pair:
    old = small_weights()
    new = {name: array + np.float32(0.01) * small_weights(4)[name] for name, array in old.items()}
    made = Made(new=build_net(new).SerializeToString(), base=build_net(old).SerializeToString())
    return write_pair(tmp_path / "corpus", PairClass.FINE_TUNED, "small", "a test", made)
