"""Small ONNX models in the relations that releases have, and the round trip that every pair must survive."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from delta import decoder
from delta.encoder import Effort, encode

RoundTrip = Callable[..., bytes]
CHANNELS = (1, 8, 32, 64)


class Models:
    """ONNX files of one small convolutional net; every method returns a serialised model."""

    def __init__(self) -> None:
        numbers = np.random.default_rng(7)
        self.weights: dict[str, NDArray[np.float32]] = {}
        for layer, (inputs, outputs) in enumerate(pairwise(CHANNELS)):
            self.weights[f"conv{layer}.weight"] = numbers.normal(0, 0.1, (outputs, inputs, 3, 3)).astype(np.float32)
            self.weights[f"conv{layer}.bias"] = numbers.normal(0, 0.01, outputs).astype(np.float32)

    def fp32(self) -> bytes:
        """The release that the others relate to."""
        return build(self.weights)

    def fine_tuned(self, step: float = 1e-4) -> bytes:
        """Every weight moved a little."""
        return build(self._moved(step))

    def fp16(self, step: float = 0.0) -> bytes:
        """In half precision."""
        return build({name: values.astype(np.float16) for name, values in self._moved(step).items()})

    def int8(self, step: float = 0.0) -> bytes:
        """Codes on the grid that ONNX Runtime's quantiser would choose, under the names it gives them."""
        tensors: dict[str, NDArray[Any]] = {}
        for name, values in self._moved(step).items():
            if values.ndim == 1:
                tensors[name] = values
                continue
            scales = (np.abs(values).max((1, 2, 3)) / np.float32(127)).astype(np.float32)
            tensors[f"{name}_scale"] = scales
            tensors[f"{name}_zero_point"] = np.zeros(len(scales), np.int8)
            codes = np.clip(np.rint(values / scales[:, None, None, None]), -128, 127)
            tensors[f"{name}_quantized"] = codes.astype(np.int8)
        return build(tensors)

    def renamed(self) -> bytes:
        """The same weights under other names."""
        return build({f"backbone.{name}": values for name, values in self.weights.items()})

    def appended(self) -> bytes:
        """The same weights, more nodes."""
        return build(self.weights, extra_nodes=3)

    def constants(self) -> bytes:
        """The same weights in Constant nodes."""
        return build(self.weights, as_constants=True)

    def retrained(self) -> bytes:
        """The same graph with unrelated weights."""
        numbers = np.random.default_rng(11)
        return build({name: numbers.normal(0, 0.1, v.shape).astype(np.float32) for name, v in self.weights.items()})

    def _moved(self, step: float) -> dict[str, NDArray[np.float32]]:
        numbers = np.random.default_rng(13)
        return {
            name: (values + numbers.normal(0, step, values.shape)).astype(np.float32) if step else values
            for name, values in self.weights.items()
        }


def build(tensors: Mapping[str, NDArray[Any]], *, extra_nodes: int = 0, as_constants: bool = False) -> bytes:
    """A model whose nodes read `tensors` one after the other."""
    protos = [numpy_helper.from_array(values, name) for name, values in tensors.items()]
    nodes = []
    if as_constants:
        nodes += [helper.make_node("Constant", [], [proto.name], value=proto) for proto in protos]
    last = "image"
    for name in tensors:
        nodes.append(helper.make_node("Add", [last, name], [f"after.{name}"]))
        last = f"after.{name}"
    for number in range(extra_nodes):
        nodes.append(helper.make_node("Relu", [last], [f"extra.{number}"], name=f"appended activation {number}"))
        last = f"extra.{number}"
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, None)],
        [] if as_constants else protos,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    return bytes(model.SerializeToString(deterministic=True))


@pytest.fixture(scope="session")
def models() -> Models:
    """The models, built once."""
    return Models()


@pytest.fixture
def round_trip(tmp_path: Path) -> RoundTrip:
    """Encode, apply, compare; the patch's bytes."""

    def go(base: bytes | None, new: bytes, effort: Effort = Effort.MAX) -> bytes:
        base_path = None if base is None else tmp_path / "base"
        if base is not None:
            (tmp_path / "base").write_bytes(base)
        (tmp_path / "new").write_bytes(new)
        encode(base_path, tmp_path / "new", tmp_path / "patch", effort=effort)
        decoder.apply(base_path, tmp_path / "patch", tmp_path / "out")
        assert (tmp_path / "out").read_bytes() == new
        return (tmp_path / "patch").read_bytes()

    return go
