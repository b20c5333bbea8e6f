"""Two small nets of digits as ONNX files, the second trained on from the first; made once."""

import copy
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from compression.datasets import Samples, load_samples, split
from compression.ladder.task import Task

FIRST_IMAGES = 200


def small_net() -> nn.Sequential:
    """A convolution net of 2,800 weights with batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 24, 3, padding=1, bias=False),
        nn.BatchNorm2d(24),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(96, 10),
    )


def train(net: nn.Module, samples: Samples, *, rate: float, iterations: int, seed: int) -> None:
    """By Adam, in place; left in eval mode."""
    generator = torch.Generator().manual_seed(seed)
    images, labels = torch.from_numpy(samples.images), torch.from_numpy(samples.classes)
    optimiser = torch.optim.Adam(net.parameters(), rate)
    net.train()
    for _ in range(iterations):
        chosen = torch.randint(len(labels), (64,), generator=generator)
        loss = nn.functional.cross_entropy(net(images[chosen]), labels[chosen])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    net.eval()


def export(net: nn.Module, path: Path) -> None:
    """With its normalisation left in."""
    with warnings.catch_warnings():
        # The exporter says that it is not the newest.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            copy.deepcopy(net),
            (torch.zeros(2, 1, 8, 8),),
            path,
            dynamo=False,
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
            opset_version=17,
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes={"image": {0: "N"}, "logits": {0: "N"}},
        )


@dataclass(frozen=True, slots=True)
class Pair:
    """Base and new version, with the samples apart, and the net that the new one was exported from."""

    base: Path
    new: Path
    training: Samples
    held_out: Samples
    net: nn.Module

    def task(self) -> Task:
        """A fresh task: nothing is remembered from another test."""
        return Task(self.base, self.new, self.training, self.held_out)


def with_branch(pair: Pair, folder: Path) -> Task:
    """The same nets with their first activation in both branches of an If: ONNX Runtime has that, torch is not told of it."""
    for path in (pair.base, pair.new):
        model = onnx.load(path)
        place, node = next((place, node) for place, node in enumerate(model.graph.node) if node.op_type == "Relu")
        value = onnx.helper.make_tensor_value_info("chosen", onnx.TensorProto.FLOAT, None)
        activation = onnx.helper.make_node("Relu", list(node.input), ["chosen"])
        branch = onnx.helper.make_graph([activation], "branch", [], [value])
        always = onnx.helper.make_tensor("always", onnx.TensorProto.BOOL, [], [True])
        model.graph.initializer.append(always)
        chosen = onnx.helper.make_node(
            "If", ["always"], list(node.output), "branching", then_branch=branch, else_branch=branch
        )
        model.graph.node.remove(node)
        model.graph.node.insert(place, chosen)
        onnx.save(model, folder / path.name)
    return Task(folder / pair.base.name, folder / pair.new.name, pair.training, pair.held_out)


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The two nets; torch is left as it was found."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("pair")
    training, held_out = split(load_samples("digits"), held_out=600)
    torch.manual_seed(1)
    net = small_net()
    train(net, training.first(FIRST_IMAGES), rate=5e-3, iterations=100, seed=1)
    export(net, folder / "v1.onnx")
    train(net, training, rate=2e-3, iterations=120, seed=2)
    export(net, folder / "v2.onnx")
    yield Pair(folder / "v1.onnx", folder / "v2.onnx", training, held_out, net)
    torch.set_num_threads(threads)
