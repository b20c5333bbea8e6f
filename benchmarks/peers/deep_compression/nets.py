"""The nets of the Deep Compression table: SqueezeNet with some 1.2 million parameters for grey 28x28 images, and small ones of its family.

SqueezeNet's eight fire modules (F. Iandola et al., arXiv:1602.07360, table 1) with all widths times 1.27, rounded to multiples of 8; the
first layers sample down by four, as those of its version 1.1 do, because the images are small. Batch normalisation is ours, see
`compression.squeezenet`.
"""

from pathlib import Path

import torch

from compression.datasets import Samples
from compression.determinism import repeatable
from compression.onnx_export import export_onnx
from compression.squeezenet import SqueezeNet, SqueezeNetShape
from compression.training import Recipe, train

Fires = tuple[tuple[int, int], ...]
FIRES: Fires = ((24, 80), (24, 80), (40, 160), (40, 160), (64, 248), (64, 248), (80, 328), (80, 328))
INPUT, OUTPUT = "image", "logits"
EXAMPLES = 16


def squeezenet(fires: Fires = FIRES, *, stem: int = 80, classes: int = 10) -> SqueezeNetShape:
    """The stem and two samplings by two, a quarter of the fire modules, one more sampling, the others."""
    early = max(1, len(fires) // 4)
    return SqueezeNetShape(classes, stem, ((), (), fires[:early], fires[early:]))


@repeatable()
def train_net(shape: SqueezeNetShape, training: Samples, recipe: Recipe, target: Path) -> None:
    """Train from random weights and write the net with its normalisation left in, to be trained on. One thread: the same bytes again."""
    torch.manual_seed(recipe.seed)
    net = SqueezeNet(shape).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    train(net, training, recipe)
    _write(net, training, target)


def write_random(shape: SqueezeNetShape, training: Samples, target: Path) -> None:
    """Write the net before any training."""
    torch.manual_seed(0)
    _write(SqueezeNet(shape).eval(), training, target)


def _write(net: SqueezeNet, training: Samples, target: Path) -> None:
    export_onnx(
        net.to(memory_format=torch.contiguous_format),  # type: ignore[call-overload]
        target,
        example=training.images[:EXAMPLES],
        input_name=INPUT,
        output_name=OUTPUT,
        keep_normalisation=True,
    )
