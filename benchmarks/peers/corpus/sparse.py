"""Base + quantised sparse difference: what a rate-accuracy ladder sends. The codes lie beside the pair, for their entropy.

A real fine-tuning difference is divided by one step per tensor, rounded, and all but the wanted number of codes dropped, the
smallest first. The new weights are `base + step * code` in float32, the step a number that fp16 can hold.
"""

import io
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from benchmarks.peers.corpus.checkpoints import checkpoint
from benchmarks.peers.corpus.recipe import Recipe
from benchmarks.peers.pairs import Made, PairClass

# The step in standard deviations of the difference grows by this until few enough codes are left.
GROWTH = 1.02


def sparse_codes(
    differences: dict[str, NDArray[np.float32]], non_zeros: int
) -> tuple[dict[str, NDArray[np.int32]], dict[str, np.float32]]:
    """Codes and steps by tensor name, with exactly `non_zeros` codes other than 0."""
    width = 1.0
    while True:
        steps = {name: _fp16(width * float(change.std())) for name, change in differences.items()}
        scaled = {name: change / steps[name] for name, change in differences.items() if steps[name]}
        count = sum(int((np.rint(values) != 0).sum()) for values in scaled.values())
        # A fifth more than wanted, so that pruning does its part.
        if count <= non_zeros * 1.2:
            break
        width *= GROWTH
    magnitudes = np.concatenate([np.abs(values).ravel() for values in scaled.values()])
    threshold = np.partition(magnitudes, magnitudes.size - non_zeros)[magnitudes.size - non_zeros]
    codes = {name: np.where(np.abs(v) >= threshold, np.rint(v), 0).astype(np.int32) for name, v in scaled.items()}
    return codes, {name: steps[name] for name in codes}


def _fp16(value: float) -> np.float32:
    return np.float32(np.float16(value))


def _make(workshop: Path, net: str, non_zeros: int) -> Made:
    base = checkpoint(workshop, net, "first", deployed=True)
    old, tuned = (onnx.load(checkpoint(workshop, net, stage, deployed=True)) for stage in ("first", "hard"))
    targets = {tensor.name: numpy_helper.to_array(tensor) for tensor in tuned.graph.initializer}
    floats = [tensor for tensor in old.graph.initializer if tensor.data_type == TensorProto.FLOAT]
    differences = {tensor.name: targets[tensor.name] - numpy_helper.to_array(tensor) for tensor in floats}
    codes, steps = sparse_codes(differences, non_zeros)
    for tensor in floats:
        if tensor.name in codes:
            change = steps[tensor.name] * codes[tensor.name].astype(np.float32)
            tensor.raw_data = (numpy_helper.to_array(tensor) + change).astype("<f4").tobytes()
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **codes)
    return Made(new=bytes(old.SerializeToString()), base=base.read_bytes(), codes=buffer.getvalue())


def _recipe(net: str, non_zeros: int) -> Recipe:
    how = f"{net} + quantised difference of its hard fine-tune, {non_zeros:,} codes not 0"
    return Recipe(PairClass.SPARSE_DIFFERENCE, f"{net}-{non_zeros}", how, lambda w: _make(w, net, non_zeros))


RECIPES = [
    _recipe("squeezenet", 5_000),
    _recipe("squeezenet", 15_000),
    _recipe("convnet", 15_000),
    _recipe("recurrent", 50_000),
    _recipe("perceptron", 50_000),
]
