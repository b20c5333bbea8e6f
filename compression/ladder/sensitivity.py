"""What an error of a layer's output costs the net's answer, in nats a sample: so that bits go where they matter most.

Where the graph runs in torch, by gradients: the Gauss-Newton matrix of the divergence from the new version's answers (J. Martens,
arXiv:1412.1193, section 9), of which one random vector a sample is drawn that has it for its mean square. No labels are needed. Else by
the answers of ONNX Runtime: how far they move when one layer alone is as in the base.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from compression.datasets import Samples
from compression.errors import ModelUnusable
from compression.ladder.divergence import divergence
from compression.ladder.layers import Walk, layers_of, with_weights
from compression.ladder.task import Task

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float64]
Array = NDArray[Any]

SOFTNESS = 1.5
"""Answers are taken this many times softer: a sample that the new version is sure of may be lost as well."""
GRADIENT_BYTES = 1 << 30
"""What gradients may take in memory; with more to keep, fewer samples are asked."""


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """What errors cost.

    Attributes:
        by_layer: by the layer's weight, loss per squared error of its outputs.
        by_tensor: of tensors in no layer, loss per squared error of an item.
        slopes: by the layer's weight, float32 [samples, positions, outputs] whose square is twice what a squared error costs there;
            empty without gradients.
    """

    by_layer: Mapping[str, float]
    by_tensor: Mapping[str, float]
    slopes: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


def sensitivity(task: Task, samples: Samples, *, gradients: bool) -> Sensitivity:
    """By gradients where these are wanted and torch runs the graph, else by the answers of ONNX Runtime.

    Raises:
        DataUnusable: the samples do not fit.
        ModelUnusable: ONNX Runtime refuses the graph.
    """
    found = _by_answers(task, samples)
    if not gradients:
        return found
    try:
        return Sensitivity(found.by_layer, found.by_tensor, _slopes(task, samples))
    except ModelUnusable:
        # Not every graph runs in torch; what ONNX Runtime says is enough.
        return found


def _by_answers(task: Task, samples: Samples) -> Sensitivity:
    aligned = task.aligned
    outputs = [output.name for output in task.new_model.graph.output]
    layers = layers_of(task.new_model, aligned.base)
    inner = [layer.output_name for layer in layers]
    walk = Walk(with_weights(task.new_model, aligned.target), samples)
    reference = walk.values([*outputs, *inner], {}, keep=False)
    answers, by_output = reference[: len(outputs)], dict(zip(inner, reference[len(outputs) :], strict=True))

    def lost(old: Mapping[str, Array], also: Sequence[str] = ()) -> tuple[float, list[Array]]:
        moved = walk.values([*outputs, *also], old, keep=False)
        return sum(map(divergence, moved[: len(outputs)], answers)), moved[len(outputs) :]

    by_layer: dict[str, float] = {}
    seen: set[str] = set()
    for layer in layers:
        old = {name: aligned.base[name] for name in (layer.weight, layer.bias) if name is not None}
        seen |= old.keys()
        cost, (there,) = lost(old, [layer.output_name])
        error = np.square(by_output[layer.output_name].astype(np.float64) - there).sum() / walk.count
        by_layer[layer.weight] = cost / float(error) if error else 0.0
    by_tensor = {}
    for name in sorted(set(aligned.moving) - seen):
        cost, _ = lost({name: aligned.base[name]})
        difference = aligned.target[name].astype(np.float64) - aligned.base[name]
        by_tensor[name] = cost / float(np.square(difference).sum())
    return Sensitivity(by_layer, by_tensor)


def _slopes(task: Task, samples: Samples) -> dict[str, NDArray[np.float32]]:
    import torch

    from compression.determinism import repeatable
    from compression.onnx_torch import load_net

    with repeatable():
        wanted = with_weights(task.new_model, task.aligned.target)
        layers = layers_of(task.new_model, task.aligned.base)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "wanted.onnx"
            path.write_bytes(wanted.SerializeToString())
            net = load_net(path)
        generator = torch.Generator().manual_seed(task.seed)
        parts: dict[str, list[Array]] = {layer.weight: [] for layer in layers}
        kept_bytes = 0
        for start in range(0, len(samples), 64):
            feeds = {
                name: torch.from_numpy(np.ascontiguousarray(a[start : start + 64]))
                for name, a in samples.inputs.items()
            }
            found = net(feeds, also=[layer.output_name for layer in layers])
            scores = found[net.outputs[0].name]
            scores = scores.reshape(len(scores), -1)
            total = torch.sum(scores * _drawn(scores.detach(), generator))
            slopes = torch.autograd.grad(total, [found[layer.output_name] for layer in layers], materialize_grads=True)
            for layer, slope in zip(layers, slopes, strict=True):
                flat = layer.outputs(slope.numpy())
                parts[layer.weight].append(flat.reshape(len(slope), -1, flat.shape[-1]))
                kept_bytes += flat.nbytes
            if kept_bytes > GRADIENT_BYTES:
                break
        return {name: np.concatenate(found) for name, found in parts.items()}


def _drawn(scores: "torch.Tensor", generator: "torch.Generator") -> "torch.Tensor":
    """For each sample a random vector whose mean square is the Hessian of the divergence, diag(p) - p p'."""
    import torch

    shares = torch.softmax(scores / SOFTNESS, dim=1)
    signs = torch.randint(0, 2, shares.shape, generator=generator) * 2.0 - 1
    roots = signs * shares.sqrt()
    return roots - shares * roots.sum(dim=1, keepdim=True)


def weight_costs(task: Task, samples: Samples) -> dict[str, float]:
    """By tensor that moves, what a squared error of one of its items costs on average: the diagonal Fisher information's mean, halved.

    Raises:
        ModelUnusable: torch cannot run the graph.
    """
    import torch

    from compression.determinism import repeatable
    from compression.onnx_torch import load_net

    with repeatable():
        wanted = with_weights(task.new_model, task.aligned.target)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "wanted.onnx"
            path.write_bytes(wanted.SerializeToString())
            net = load_net(path)
        weights = {name: weight for name, weight in net.weights.items() if name in task.aligned.moving}
        totals = dict.fromkeys(weights, 0.0)
        generator = torch.Generator().manual_seed(task.seed)
        for place in range(len(samples)):
            feeds = {
                name: torch.from_numpy(np.ascontiguousarray(a[place : place + 1])) for name, a in samples.inputs.items()
            }
            scores = net(feeds)[net.outputs[0].name].reshape(1, -1)
            total = torch.sum(scores * _drawn(scores.detach(), generator))
            slopes = torch.autograd.grad(total, list(weights.values()), materialize_grads=True)
            for name, slope in zip(weights, slopes, strict=True):
                totals[name] += float(slope.square().mean())
        return {name: total / (2 * len(samples)) for name, total in totals.items()}
