"""Small nets and their training, for pairs that are real fine-tunes. Needs torch; only `checkpoints` imports it."""

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from compression.datasets.mnist import mnist_halved
from compression.determinism import repeatable
from compression.squeezenet import SqueezeNet, SqueezeNetShape
from compression.training import shift

BATCH = 64
# The first version saw these images only, in their places; the later ones saw all of them, moved about.
FIRST_IMAGES = 3000
OPSET = 17


class Depthwise(nn.Sequential):
    """A depthwise 3x3 and a pointwise convolution, each with batch normalisation (MobileNet, arXiv:1704.04861, section 3.1)."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels_in, 3, stride, 1, groups=channels_in, bias=False),
            nn.BatchNorm2d(channels_in),
            nn.ReLU(),
            nn.Conv2d(channels_in, channels_out, 1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(),
        )


class Recurrent(nn.Module):
    """Reads an image row by row: an LSTM, a GRU, a dense layer on the last state."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(14, 160)
        self.gru = nn.GRU(160, 128)
        self.head = nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32 [N, 1, 14, 14] to logits [N, 10]."""
        states, _ = self.lstm(x.squeeze(1).transpose(0, 1))
        states, _ = self.gru(states)
        logits: torch.Tensor = self.head(states[-1])
        return logits


def _squeezenet() -> nn.Module:
    stages = (((16, 64), (16, 64)), ((32, 128), (48, 128)), ((48, 160),))
    return SqueezeNet(SqueezeNetShape(classes=10, stem_channels=64, stages=stages))


def _convnet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(64, 96, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(96 * 9, 256),
        nn.ReLU(),
        nn.Linear(256, 10),
    )


def _mobilenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        Depthwise(32, 96, 1),
        Depthwise(96, 192, 2),
        Depthwise(192, 256, 1),
        Depthwise(256, 384, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(384, 10),
    )


def _perceptron() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(196, 1024), nn.ReLU(), nn.Linear(1024, 768), nn.ReLU(), nn.Linear(768, 10)
    )


NETS: dict[str, Callable[[], nn.Module]] = {
    "squeezenet": _squeezenet,
    "convnet": _convnet,
    "mobilenet": _mobilenet,
    "recurrent": Recurrent,
    "perceptron": _perceptron,
}


@dataclass(frozen=True, slots=True)
class Stage:
    """How one checkpoint comes from another, or from a seed where `after` is `None`.

    Attributes:
        after: the stage it starts from.
        adam: Adam, else plain SGD.
        learning_rate: constant.
        steps: of `BATCH` images each.
        seed: of order and shifts, and of the weights where it starts from none.
        every_image: all images, moved by up to a pixel; else the first ones as they are.
        layers: the share of layers, from the last one, that is trained; below 1 normalisation statistics stay as well.
    """

    after: str | None
    adam: bool
    learning_rate: float
    steps: int
    seed: int
    every_image: bool = True
    layers: float = 1.0


STAGES = {
    "first": Stage(None, adam=True, learning_rate=2e-3, steps=240, seed=1, every_image=False),
    "hard": Stage("first", adam=True, learning_rate=5e-4, steps=240, seed=2),
    "gentle": Stage("first", adam=False, learning_rate=1e-3, steps=12, seed=3, every_image=False),
    "faint": Stage("first", adam=False, learning_rate=1e-5, steps=12, seed=3, every_image=False),
    "half": Stage("first", adam=True, learning_rate=5e-4, steps=120, seed=6, layers=0.5),
    "head": Stage("first", adam=True, learning_rate=5e-4, steps=60, seed=4, layers=0.0),
    "retrained": Stage(None, adam=True, learning_rate=2e-3, steps=240, seed=5),
}


def train(net: nn.Module, stage: Stage) -> None:
    """Train `net` in place and leave it in eval mode."""
    generator = torch.Generator().manual_seed(stage.seed)
    torch.manual_seed(stage.seed)
    samples = mnist_halved()
    images, labels = torch.from_numpy(samples.images), torch.from_numpy(samples.classes)
    count = len(labels) if stage.every_image else FIRST_IMAGES
    layers = [module for module in net.modules() if not list(module.children()) and list(module.parameters())]
    kept = min(round(len(layers) * (1 - stage.layers)), len(layers) - 1)
    trained = [parameter for layer in layers[kept:] for parameter in layer.parameters()]
    optimiser = (torch.optim.Adam if stage.adam else torch.optim.SGD)(trained, stage.learning_rate)
    net.train(not kept)
    for _ in range(stage.steps):
        chosen = torch.randint(count, (BATCH,), generator=generator)
        inputs = shift(images[chosen], 1.0, generator) if stage.every_image else images[chosen]
        loss = nn.functional.cross_entropy(net(inputs), labels[chosen])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    net.eval()


@repeatable()
def make_checkpoint(folder: Path, net_name: str, stage_name: str) -> None:
    """Train up to `stage_name` and write `<stage>.pt`, `<stage>.onnx` and, with normalisation folded, `<stage>-deployed.onnx`."""
    stage = STAGES[stage_name]
    torch.manual_seed(stage.seed)
    net = NETS[net_name]()
    if stage.after is not None:
        before = folder / f"{stage.after}.pt"
        if not before.exists():
            make_checkpoint(folder, net_name, stage.after)
        net.load_state_dict(torch.load(before, weights_only=True))
    train(net, stage)
    folder.mkdir(parents=True, exist_ok=True)
    _export(net, folder / f"{stage_name}.onnx", torch.onnx.TrainingMode.PRESERVE)
    _export(net, folder / f"{stage_name}-deployed.onnx", torch.onnx.TrainingMode.EVAL)
    torch.save(net.state_dict(), folder / f"{stage_name}.pt")


def _export(net: nn.Module, path: Path, mode: torch.onnx.TrainingMode) -> None:
    """In mode EVAL the exporter folds normalisation into convolutions, with PRESERVE it leaves it."""
    with warnings.catch_warnings():
        # The exporter says that it is not the newest, and that an LSTM's batch size is free; both are meant.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            copy.deepcopy(net),
            (torch.from_numpy(mnist_halved().images[:2]),),
            path,
            dynamo=False,
            training=mode,
            do_constant_folding=mode is torch.onnx.TrainingMode.EVAL or isinstance(net, Recurrent),
            opset_version=OPSET,
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes={"image": {0: "N"}, "logits": {0: "N"}},
        )
