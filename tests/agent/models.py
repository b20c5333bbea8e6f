"""Small real ONNX models with their contracts and sample sets."""

import io
import json
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FEATURES, CLASSES = 64, 32


@dataclass(frozen=True, slots=True)
class Release:
    """A model file and what belongs to it."""

    model: bytes
    contract: bytes
    samples: bytes


def release(seed: int, *, step: float = 0.0, golden_error: float = 0.0, output: str = "scores") -> Release:
    """A linear classifier; `step` moves its weights a little, as fine-tuning does; `golden_error` falsifies the goldens."""
    generator = np.random.default_rng(seed)
    weights = generator.standard_normal((FEATURES, CLASSES)).astype(np.float32)
    bias = generator.standard_normal(CLASSES).astype(np.float32)
    weights += np.float32(step) * np.random.default_rng(seed + 1).standard_normal(weights.shape).astype(np.float32)
    inputs = generator.standard_normal((6, FEATURES)).astype(np.float32)
    goldens = inputs @ weights + bias + np.float32(golden_error)
    return Release(_model(weights, bias), _contract(output), _samples(inputs, goldens))


def _model(weights: np.ndarray, bias: np.ndarray) -> bytes:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["image", "w"], ["wx"]), helper.make_node("Add", ["wx", "b"], ["scores"])],
        "linear",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", FEATURES])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", CLASSES])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def _contract(output: str) -> bytes:
    document = {
        "schema": "smallfleet-contract/1",
        "inputs": [{"name": "image", "dtype": "float32", "shape": ["N", FEATURES]}],
        "outputs": [{"name": output, "dtype": "float32", "shape": ["N", CLASSES]}],
    }
    return json.dumps(document).encode()


def _samples(inputs: np.ndarray, goldens: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    labels = goldens.argmax(axis=1).astype(np.int64)
    np.savez(buffer, **{"input:image": inputs, "golden:scores": goldens, "labels": labels})
    return buffer.getvalue()
