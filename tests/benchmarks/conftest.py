"""Small real models and what belongs to them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

SaveModel = Callable[..., Path]
Array = np.ndarray[Any, Any]


def build_model(
    nodes: list[NodeProto],
    *,
    inputs: dict[str, tuple[int, list[Any]]],
    outputs: dict[str, tuple[int, list[Any] | None]],
    weights: dict[str, Array] | None = None,
    opset: int = 18,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, dtype, shape) for name, (dtype, shape) in inputs.items()],
        [helper.make_tensor_value_info(name, dtype, shape) for name, (dtype, shape) in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=9)


@pytest.fixture(scope="session")
def make_model() -> Callable[..., onnx.ModelProto]:
    """`build_model`, for modules that cannot import this one."""
    return build_model


@pytest.fixture(scope="session")
def classifier_weights() -> Array:
    return np.random.default_rng(7).standard_normal((6, 4), dtype=np.float32)


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory, classifier_weights: Array) -> Path:
    """A linear classifier of 6 features into 4 classes, batch axis open."""
    model = build_model(
        [helper.make_node("MatMul", ["x", "w"], ["scores"])],
        inputs={"x": (TensorProto.FLOAT, ["N", 6])},
        outputs={"scores": (TensorProto.FLOAT, ["N", 4])},
        weights={"w": classifier_weights},
    )
    path = tmp_path_factory.mktemp("classifier") / "classifier.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture(scope="session")
def features() -> Array:
    return np.random.default_rng(11).standard_normal((40, 6), dtype=np.float32)
