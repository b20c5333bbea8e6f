"""Pairs of Deep Compression (S. Han et al., arXiv:1510.00149): weights pruned by magnitude, shared by k-means, or both."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from benchmarks.peers.corpus.checkpoints import checkpoint
from benchmarks.peers.corpus.recipe import Recipe
from benchmarks.peers.pairs import Made, PairClass

Change = Callable[[NDArray[np.float32]], NDArray[np.float32]]

# Biases, norms and other small tensors stay as they are.
MIN_WEIGHTS = 256
KMEANS_ROUNDS = 30


def pruned(share: float) -> Change:
    """The `share` of a layer's weights with the smallest magnitudes becomes 0."""

    def change(weights: NDArray[np.float32]) -> NDArray[np.float32]:
        threshold = np.quantile(np.abs(weights), share)
        return np.where(np.abs(weights) <= threshold, np.float32(0), weights)

    return change


def clustered(values: int) -> Change:
    """A layer's non-zero weights become the nearest of `values` shared ones: k-means, started evenly (section 3.2)."""

    def change(weights: NDArray[np.float32]) -> NDArray[np.float32]:
        kept = weights != 0
        samples = weights[kept].astype(np.float64)
        centres = np.linspace(samples.min(), samples.max(), values)
        for _ in range(KMEANS_ROUNDS):
            nearest = np.searchsorted((centres[1:] + centres[:-1]) / 2, samples)
            counts = np.bincount(nearest, minlength=values)
            sums = np.bincount(nearest, weights=samples, minlength=values)
            centres = np.sort(np.where(counts > 0, sums / np.maximum(counts, 1), centres))
        shared = np.zeros_like(weights)
        nearest = np.searchsorted((centres[1:] + centres[:-1]) / 2, samples)
        shared[kept] = centres.astype(np.float32)[nearest]
        return shared

    return change


def both(share: float, values: int) -> Change:
    """Pruned, then what is left clustered."""
    return lambda weights: clustered(values)(pruned(share)(weights))


def compress(model: Path, change: Change) -> bytes:
    """`model` with `change` on every weight tensor."""
    proto = onnx.load(model)
    for tensor in proto.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) > 1:
            weights: NDArray[Any] = numpy_helper.to_array(tensor)
            if weights.size >= MIN_WEIGHTS:
                tensor.raw_data = change(weights).astype("<f4").tobytes()
    return bytes(proto.SerializeToString())


def _pair(name: str, net: str, how: str, change: Change, stage: str = "first") -> list[Recipe]:
    """The change of a net that the device holds dense, and the same as a first install."""

    def make(workshop: Path) -> Made:
        new = compress(checkpoint(workshop, net, stage, deployed=True), change)
        return Made(new=new, base=checkpoint(workshop, net, "first", deployed=True).read_bytes())

    def make_packed(workshop: Path) -> Made:
        return Made(new=make(workshop).new)

    return [
        Recipe(PairClass.SHARED_VALUES, f"{name}-{net}", f"{net}, {how}, from the dense one", make),
        Recipe(PairClass.SHARED_VALUES, f"packed-{name}-{net}", f"{net}, {how}, packed", make_packed),
    ]


RECIPES = [
    *_pair("pruned-50", "convnet", "50 % pruned", pruned(0.5)),
    *_pair("pruned-80", "squeezenet", "80 % pruned", pruned(0.8)),
    *_pair("pruned-90", "perceptron", "90 % pruned", pruned(0.9)),
    *_pair("tuned-pruned-80", "convnet", "fine-tuned, then 80 % pruned", pruned(0.8), "hard"),
    *_pair("clustered-16", "perceptron", "16 shared values a layer", clustered(16)),
    *_pair("clustered-32", "squeezenet", "32 shared values a layer", clustered(32)),
    *_pair("clustered-256", "convnet", "256 shared values a layer", clustered(256)),
    *_pair("tuned-clustered-32", "mobilenet", "fine-tuned, then 32 shared values a layer", clustered(32), "hard"),
    *_pair("pruned-90-clustered-32", "perceptron", "90 % pruned, 32 shared values a layer", both(0.9, 32)),
]
