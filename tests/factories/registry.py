"""Artifacts with real bytes in the store, and model lines made of them."""

import hashlib
import io
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from access.actors import SYSTEM
from registry import services
from registry.deltas.formats import BUILT_FORMAT
from registry.models import Artifact, ModelLine, Patch, Variant, Version
from registry.storage import store


def digest(content: bytes) -> str:
    """The SHA-256 that the wire speaks of."""
    return hashlib.sha256(content).hexdigest()


@cache
def onnx_model(seed: int = 0, *, width: int = 8, outputs: int = 3, noise: float = 0.0) -> bytes:
    """A small valid classifier, `image` [N, 4] -> `logits` [N, outputs]. `noise` fine-tunes the weights of `seed`."""
    rng = np.random.default_rng(seed)
    weights = [rng.standard_normal(shape).astype(np.float32) for shape in ((4, width), (width, outputs))]
    weights = [w + (noise * rng.standard_normal(w.shape)).astype(np.float32) for w in weights]
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["image", "w0"], ["hidden"]),
            helper.make_node("Relu", ["hidden"], ["active"]),
            helper.make_node("MatMul", ["active", "w1"], ["logits"]),
        ],
        "classifier",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", outputs])],
        [numpy_helper.from_array(w, f"w{index}") for index, w in enumerate(weights)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def contract(*, outputs: int = 3, **extra: Any) -> dict[str, Any]:
    """The contract that `onnx_model` keeps."""
    return {
        "schema": "smallfleet-contract/1",
        "inputs": [{"name": "image", "dtype": "float32", "shape": ["N", 4]}],
        "outputs": [{"name": "logits", "dtype": "float32", "shape": ["N", outputs]}],
        "preprocessing": {"scale": "pixel / 16"},
        "labels": [str(label) for label in range(outputs)],
        **extra,
    }


def contract_bytes(**changes: Any) -> bytes:
    """`contract` as a file."""
    return json.dumps(contract(**changes)).encode()


def sample_set(samples: int = 5, *, more: Mapping[str, np.ndarray[Any, Any]] | None = None) -> bytes:
    """A sample set for `onnx_model`."""
    arrays: dict[str, Any] = {
        "input:image": np.zeros((samples, 4), np.float32),
        "golden:logits": np.zeros((samples, 3), np.float32),
        "labels": np.zeros(samples, np.int64),
        **(more or {}),
    }
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def make_artifact(content: bytes, kind: str = "model") -> Artifact:
    """An artifact with its file in the store; a model gets the ports of `onnx_model` as its static cost."""
    cost = {"inputs": contract()["inputs"], "outputs": contract()["outputs"]} if kind == "model" else None
    with store().stage() as staged:
        staged.write(content)
        store().commit(staged, digest(content))
    return Artifact.objects.create(sha256=digest(content), size_bytes=len(content), kind=kind, static_cost=cost)


def make_line(name: str = "digits") -> ModelLine:
    """A model line."""
    return services.create_model_line(actor=SYSTEM, name=name)[0]


def make_version(line: ModelLine, version: str = "1.0.0", *, publish: bool = False) -> Version:
    """A version; with `publish` it has one variant, `fp32`, and is published."""
    encoded = contract_bytes(note=f"{line.name} {version}")
    artifact = make_artifact(encoded, "contract")
    row, _ = services.create_version(actor=SYSTEM, model_line=line, version=version, contract_sha256=artifact.sha256)
    if publish:
        make_variant(row, content=onnx_model(sum(map(ord, line.name + version))))
        services.publish_version(actor=SYSTEM, version=row)
    return row


def make_variant(
    version: Version, name: str = "fp32", *, content: bytes | None = None, is_live: bool = True
) -> Variant:
    """A variant of `version`; live unless told, as if its publisher had signed it. `tests.factories.trust` really signs."""
    artifact = make_artifact(content if content is not None else onnx_model())
    variant = services.add_variant(actor=SYSTEM, version=version, name=name, sha256=artifact.sha256)[0]
    Variant.objects.filter(pk=variant.pk).update(is_live=is_live)
    variant.is_live = is_live
    return variant


def make_patch(base: Artifact | None, target: Artifact, content: bytes | None, **fields: Any) -> Patch:
    """A patch row; ready with `content` as its file, or in the state that `fields` say."""
    ready: dict[str, Any] = {}
    if content is not None:
        artifact = make_artifact(content, "patch")
        ready = {"state": Patch.State.READY, "artifact": artifact, "size_bytes": artifact.size_bytes}
    return Patch.objects.create(
        base=base, target=target, **{"patch_format": BUILT_FORMAT, "effort": "max", **ready, **fields}
    )


def withdraw_version(version: Version, reason: str = "wrong labels") -> None:
    """Sign a version out and yank it, as its publisher does."""
    Variant.objects.filter(version=version).update(is_live=False)
    services.yank_version(actor=SYSTEM, version=version, reason=reason)
