"""What a ladder is made from: the file that devices hold, the file to get near, and samples. No torch.

Both files must have the same weights by name and shape. A rung takes the graph of the new file and the values of its own; where
nothing of a tensor is to be sent it stands as in the base, bit for bit. Running statistics of batch normalisation, and biases of
convolutions right before one, are never sent: what they say is folded into gamma and beta (`Aligned`), and the function stays as it was.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from client.files import write_whole
from compression.datasets import Samples
from compression.errors import DataUnusable, ModelUnusable
from compression.onnx_files import read_model

Weights = NDArray[np.float32]

CHOICE_SHARE = 0.2
CHOICE_MAX = 1000
MIN_SAMPLES = 20


@dataclass(frozen=True)
class Task:
    """A base, a new version, and samples to train and choose on (`training`) and to report on (`held_out`); labels are optional.

    Attributes:
        base: what devices hold: a published version or, after a ladder, the rung itself.
        held_out: nothing is trained, tuned or chosen on these.
        seed: of order, shifts and splits; the same task gives the same rungs on one machine.
        choosing: samples that the new version was not trained on, for choosing rungs; without them some of `training` are set aside for it.
    """

    base: Path
    new: Path
    training: Samples
    held_out: Samples
    seed: int = 0
    choosing: Samples | None = None

    @cached_property
    def parts(self) -> tuple[Samples, Samples]:
        """The samples that rungs are fitted to, and those that settings and rungs are chosen on.

        Raises:
            DataUnusable: there are too few.
        """
        count = len(self.training)
        if count < MIN_SAMPLES:
            raise DataUnusable(f"{count} samples to train on; a ladder needs at least {MIN_SAMPLES}")
        if self.choosing is not None:
            return self.training, self.choosing
        order = np.random.default_rng(self.seed).permutation(count)
        chosen_on = min(round(CHOICE_SHARE * count), CHOICE_MAX)
        return self.training.take(order[chosen_on:]), self.training.take(order[:chosen_on])

    @cached_property
    def base_model(self) -> onnx.ModelProto:
        """The base, read and checked.

        Raises:
            ModelUnusable: it is no ONNX file.
        """
        return read_model(self.base)

    @cached_property
    def new_model(self) -> onnx.ModelProto:
        """The new version, read and checked.

        Raises:
            ModelUnusable: it is no ONNX file.
        """
        return read_model(self.new)

    @cached_property
    def aligned(self) -> "Aligned":
        """What the rungs start from and aim at.

        Raises:
            ModelUnusable: the two do not correspond, or a weight is not finite; the message names the tensor.
        """
        return align(self.base_model, self.new_model)

    def write(self, path: Path, weights: Mapping[str, Weights]) -> None:
        """Write the new version's graph with `weights` by name; every other float32 tensor stands as in the base.

        Raises:
            ModelUnusable: the graph has no such tensor, of such a shape.
        """
        model = onnx.ModelProto()
        model.CopyFrom(self.new_model)
        tensors = dict(float_tensors(model))
        for name, values in {**self.aligned.base, **weights}.items():
            if name not in tensors or tuple(tensors[name].dims) != values.shape:
                raise ModelUnusable(f"{self.new.name} has no float32 tensor {name} of shape {values.shape}")
            if not np.array_equal(numpy_helper.to_array(tensors[name]), values):
                _put(tensors[name], values)
        write_whole(path, model.SerializeToString(deterministic=True))


@dataclass(frozen=True, slots=True)
class Aligned:
    """The float32 tensors of base and new version by name.

    Attributes:
        base: as they stand in the base.
        target: what makes the base's graph compute what the new version computes.
        still: names of those that are the same in both: statistics, and biases that a normalisation takes over.
        vectors: names of those that normalise or are added (gamma, beta, biases): few items, each of much weight.
    """

    base: Mapping[str, Weights]
    target: Mapping[str, Weights]
    still: frozenset[str]
    vectors: frozenset[str]

    @property
    def moving(self) -> tuple[str, ...]:
        """Names of the tensors that differ, in the order of the graph."""
        return tuple(name for name in self.base if name not in self.still)


def float_tensors(model: onnx.ModelProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    """The float32 initializers and constants of a graph that are not empty, with their names."""
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and all(tensor.dims):
            yield tensor.name, tensor
    for node in model.graph.node:
        for attribute in node.attribute if node.op_type == "Constant" else ():
            if attribute.name == "value" and attribute.t.data_type == onnx.TensorProto.FLOAT and all(attribute.t.dims):
                yield node.output[0], attribute.t


def align(base: onnx.ModelProto, new: onnx.ModelProto) -> Aligned:
    """What must change in the base's weights so that they compute what the new ones do.

    Raises:
        ModelUnusable: they do not correspond, or a weight is not finite; the message names the tensor or node.
    """
    old, wanted = _finite(base, "base"), _finite(new, "new version")
    _require_same_weights(old, wanted)
    _require_same_nodes(base, new)
    target = dict(wanted)
    for normalisation in _normalisations(new):
        normalisation.fold(old, target)
    still = frozenset(name for name in old if np.array_equal(old[name], target[name]))
    if len(still) == len(old):
        raise ModelUnusable("base and new version have the same weights: there is nothing to send")
    vectors = frozenset(name for name, values in old.items() if sum(extent > 1 for extent in values.shape) <= 1)
    return Aligned(old, target, still, vectors)


@dataclass(frozen=True, slots=True)
class _Normalisation:
    """A BatchNormalization whose tensors are its own; `bias` is that of the convolution whose only reader it is."""

    gamma: str
    beta: str
    mean: str
    variance: str
    epsilon: float
    bias: str | None

    def fold(self, old: Mapping[str, Weights], target: dict[str, Weights]) -> None:
        """Leave statistics and bias as in `old`, and let gamma and beta make up for it.

        gamma (x + b - m) / sqrt(v + e) + beta is linear in x: two numbers a channel say all of it.
        """
        gamma, beta, mean, variance = (
            target[name].astype(np.float64) for name in (self.gamma, self.beta, self.mean, self.variance)
        )
        old_mean, old_variance = old[self.mean].astype(np.float64), old[self.variance].astype(np.float64)
        if self.bias is not None:
            mean = mean - (target[self.bias].astype(np.float64) - old[self.bias])
            target[self.bias] = old[self.bias]
        gain = gamma / np.sqrt(variance + self.epsilon)
        target[self.gamma] = (gain * np.sqrt(old_variance + self.epsilon)).astype(np.float32)
        target[self.beta] = (beta + gain * (old_mean - mean)).astype(np.float32)
        target[self.mean], target[self.variance] = old[self.mean], old[self.variance]


def _normalisations(model: onnx.ModelProto) -> Iterator[_Normalisation]:
    """Those whose tensors nothing else reads."""
    tensors = dict(float_tensors(model))
    readers = Counter(name for node in model.graph.node for name in node.input)
    readers.update(output.name for output in model.graph.output)
    makers = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        if node.op_type != "BatchNormalization":
            continue
        gamma, beta, mean, variance = node.input[1:5]
        if not all(name in tensors and readers[name] == 1 for name in (gamma, beta, mean, variance)):
            continue
        before = makers.get(node.input[0])
        bias = None
        if before is not None and before.op_type in {"Conv", "ConvTranspose"} and readers[node.input[0]] == 1:
            name = before.input[2] if len(before.input) > 2 else ""
            bias = name if name in tensors and readers[name] == 1 else None
        epsilon = next((found.f for found in node.attribute if found.name == "epsilon"), 1e-5)
        yield _Normalisation(gamma, beta, mean, variance, epsilon, bias)


def _finite(model: onnx.ModelProto, which: str) -> dict[str, Weights]:
    found = {}
    for name, tensor in float_tensors(model):
        values = np.asarray(numpy_helper.to_array(tensor), np.float32)
        if not np.isfinite(values).all():
            raise ModelUnusable(f"{which}: tensor {name} has values that are not finite")
        found[name] = values
    if not found:
        raise ModelUnusable(f"{which}: there are no float32 weights; a ladder is made from the fp32 files")
    return found


def _require_same_weights(old: Mapping[str, Weights], new: Mapping[str, Weights]) -> None:
    for one, other, lacking in ((old, new, "new version"), (new, old, "base")):
        missing = [name for name in one if name not in other]
        if missing:
            raise ModelUnusable(
                f"{lacking}: there is no tensor {missing[0]} ({len(missing)} missing); export both alike"
            )
    for name in old:
        if old[name].shape != new[name].shape:
            raise ModelUnusable(
                f"tensor {name} is {old[name].shape} in the base and {new[name].shape} in the new version"
            )


def _require_same_nodes(base: onnx.ModelProto, new: onnx.ModelProto) -> None:
    """Weights of one name must mean the same: the same operators, wired alike."""
    nodes = zip(base.graph.node, new.graph.node, strict=False)
    for old, wanted in nodes:
        if (old.op_type, list(old.input)) != (wanted.op_type, list(wanted.input)):
            raise ModelUnusable(
                f"the graphs differ: node {wanted.name or wanted.output[0]} is {old.op_type} of {', '.join(old.input)} "
                f"in the base and {wanted.op_type} of {', '.join(wanted.input)} in the new version"
            )
    if len(base.graph.node) != len(new.graph.node):
        raise ModelUnusable(f"the base has {len(base.graph.node)} nodes, the new version {len(new.graph.node)}")


def _put(tensor: onnx.TensorProto, values: Weights) -> None:
    name, doc = tensor.name, tensor.doc_string
    tensor.CopyFrom(
        helper.make_tensor(name, onnx.TensorProto.FLOAT, values.shape, values.astype("<f4").tobytes(), raw=True)
    )
    tensor.doc_string = doc


def input_names(model: onnx.ModelProto) -> list[str]:
    """Names of a model's inputs; initializers that older files list among them left out."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [port.name for port in model.graph.input if port.name not in weights]
