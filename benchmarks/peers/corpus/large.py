"""One pair of 100 MB. Its weights are drawn, not trained, because nothing of that size trains here in a minute.

Layers are He-initialised (arXiv:1502.01852, section 2.2). The fine-tuning difference is Gaussian around scales that vary as
in the corpus's own fine-tunes: between layers by a factor of about 4, between output channels by a log-normal of 0.5.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.peers.corpus.recipe import Recipe
from benchmarks.peers.pairs import Made, PairClass

LAYERS, CHANNELS = 24, 1024
# Standard deviation of the difference by that of the weights, in the corpus's hard fine-tunes: 0.04 to 0.2.
CHANGE_MIN, CHANGE_MAX = 0.04, 0.2
CHANNEL_SIGMA = 0.5


def _make(workshop: Path) -> Made:
    random = np.random.default_rng(100)
    old, new = [], []
    for layer in range(LAYERS):
        weights = random.standard_normal((CHANNELS, CHANNELS), np.float32) * np.float32(np.sqrt(2 / CHANNELS))
        share = np.exp(random.uniform(np.log(CHANGE_MIN), np.log(CHANGE_MAX))) * np.sqrt(2 / CHANNELS)
        channels = np.exp(random.normal(0, CHANNEL_SIGMA, (CHANNELS, 1))) * share
        change = random.standard_normal((CHANNELS, CHANNELS), np.float32) * channels.astype(np.float32)
        old.append(numpy_helper.from_array(weights, f"layers.{layer}.weight"))
        new.append(numpy_helper.from_array(weights + change, f"layers.{layer}.weight"))
    return Made(new=_model(new), base=_model(old))


def _model(tensors: list[TensorProto]) -> bytes:
    nodes = []
    for index, tensor in enumerate(tensors):
        nodes.append(helper.make_node("Gemm", [f"x{index}", tensor.name], [f"h{index}"], transB=1))
        nodes.append(helper.make_node("Relu", [f"h{index}"], [f"x{index + 1}"]))
    shape: list[str | int | None] = ["N", CHANNELS]
    graph = helper.make_graph(
        nodes,
        "large",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(f"x{len(tensors)}", TensorProto.FLOAT, shape)],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


RECIPES = [
    Recipe(PairClass.LARGE, "100-mb", f"{LAYERS} dense layers of {CHANNELS} x {CHANNELS}, all weights changed", _make)
]
