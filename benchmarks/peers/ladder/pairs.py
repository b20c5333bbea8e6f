"""Pairs of trained nets, v1 and its fine-tune v2, for each fold of a data set: what a ladder is made for. Needs torch to be made.

A SqueezeNet with batch normalisation of about 1 MB. v1 saw part of the training samples, in their places; v2 is v1 fine-tuned, every
weight, on all of them, moved about. In a pair that learns something new half of all samples are turned by up to 60 degrees, and v1 saw
none that were. The fold that is left out is seen by neither, nor are samples of the other folds on which rungs are chosen.
"""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from compression.datasets import Samples, folds, load_samples, split

if TYPE_CHECKING:
    import torch

    from compression.squeezenet import SqueezeNetShape

FOLDS = 5
CHOOSING = 0.2
TURN_DEGREES = 60.0
_INPUT, _OUTPUT = "image", "logits"


@dataclass(frozen=True, slots=True)
class LadderPair:
    """How v1 and v2 come about.

    Attributes:
        first: how many of the training images v1 saw.
        epochs: of v1, and of v2 after it.
        tuning_rate: the highest learning rate of the fine-tune.
        turned: half of the samples are turned, and v2 alone learns these.
        stem_pooled: images of 14 x 14 are halved after the first convolution, and once later; those of 8 x 8 twice later.
    """

    name: str
    data: str
    seed: int
    first: int
    epochs: tuple[int, int]
    tuning_rate: float = 5e-4
    turned: bool = False
    stem_pooled: bool = False

    @property
    def is_ordinary(self) -> bool:
        """Whether v2 only knows better what v1 knew."""
        return not self.turned

    @property
    def shape(self) -> "SqueezeNetShape":
        """Of the nets, about 245,000 weights."""
        from compression.squeezenet import SqueezeNetShape

        first, second, third = ((16, 64), (16, 64)), ((32, 128), (48, 128)), ((48, 160),)
        stages = (first, second + third) if self.stem_pooled else (first, second, third)
        return SqueezeNetShape(classes=10, stem_channels=64, stages=stages, stem_pooled=self.stem_pooled)

    def samples(self) -> Samples:
        """All samples, in their fixed order."""
        return _samples(self.data, self.seed if self.turned else None)

    def fold(self, number: int) -> tuple[Samples, Samples, Samples]:
        """The training part, what rungs are chosen on, and the fold that is left out; v1 and v2 are trained on the first alone."""
        known, held_out = list(folds(self.samples(), count=FOLDS))[number]
        training, choosing = split(known, held_out=CHOOSING, seed=self.seed)
        return training, choosing, held_out


PAIRS = {
    pair.name: pair
    for pair in (
        LadderPair("digits-1", "digits", seed=1, first=300, epochs=(20, 12)),
        LadderPair("digits-2", "digits", seed=2, first=300, epochs=(20, 12)),
        LadderPair("mnist14-1", "mnist14", seed=3, first=1000, epochs=(8, 4), stem_pooled=True),
        LadderPair("mnist14-2", "mnist14", seed=4, first=1000, epochs=(8, 4), stem_pooled=True),
        LadderPair(
            "mnist14-turned",
            "mnist14",
            seed=5,
            first=1000,
            epochs=(8, 4),
            stem_pooled=True,
            tuning_rate=1e-3,
            turned=True,
        ),
    )
}


@functools.cache
def _samples(data: str, turned_by: int | None) -> Samples:
    found = load_samples(data)
    return found if turned_by is None else _half_turned(found, turned_by)


def make_pair(pair: LadderPair, number: int, folder: Path) -> tuple[Path, Path]:
    """`v1.onnx` and `v2.onnx` in `folder`, trained where they are not there yet; normalisation stays as nodes of its own."""
    base, new = folder / "v1.onnx", folder / "v2.onnx"
    if not new.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _train_and_export(pair, pair.fold(number)[0], base, new)
    return base, new


def _train_and_export(pair: LadderPair, training: Samples, base: Path, new: Path) -> None:
    import torch

    from compression.determinism import repeatable
    from compression.squeezenet import SqueezeNet
    from compression.training import Recipe, train

    with repeatable():
        torch.manual_seed(pair.seed)
        net = SqueezeNet(pair.shape)
        known = _upright(training, pair).first(pair.first)
        train(net, known, Recipe(pair.epochs[0], peak_learning_rate=4e-3, shift_pixels=0.0, seed=10 * pair.seed))
        _export(net, training, base)
        recipe = Recipe(pair.epochs[1], pair.tuning_rate, shift_pixels=0.5, seed=10 * pair.seed + 1)
        train(net, training, recipe)
        partial = new.with_suffix(".partial")
        _export(net, training, partial)
        # Last and in one rename: a pair is whole once v2 is there.
        partial.replace(new)


def _export(net: "torch.nn.Module", samples: Samples, path: Path) -> None:
    import copy
    import warnings

    import torch

    with warnings.catch_warnings():
        # The exporter says that it is not the newest.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            copy.deepcopy(net).eval(),
            (torch.from_numpy(samples.images[:2]),),
            path,
            dynamo=False,
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
            opset_version=17,
            input_names=[_INPUT],
            output_names=[_OUTPUT],
            dynamic_axes={_INPUT: {0: "N"}, _OUTPUT: {0: "N"}},
        )


def _upright(training: Samples, pair: LadderPair) -> Samples:
    """Those of the training samples that stand as they were written."""
    if not pair.turned:
        return training
    known = {image.tobytes() for image in load_samples(pair.data).images}
    return training.take([place for place, image in enumerate(training.images) if image.tobytes() in known])


def _half_turned(samples: Samples, seed: int) -> Samples:
    """Every other sample turned by a random angle, bilinearly, zeros flowing in."""
    images = samples.images.copy()
    angles = np.random.default_rng(seed).uniform(-TURN_DEGREES, TURN_DEGREES, len(images))
    for place in range(0, len(images), 2):
        images[place, 0] = _turned(images[place, 0], float(angles[place]))
    return Samples({_INPUT: images}, samples.labels)


def _turned(image: NDArray[np.float32], degrees: float) -> NDArray[np.float32]:
    height, width = image.shape
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    y, x = rows - (height - 1) / 2, columns - (width - 1) / 2
    source_rows, source_columns = cosine * y - sine * x + (height - 1) / 2, sine * y + cosine * x + (width - 1) / 2
    padded = np.pad(image, 2).astype(np.float64)
    top = np.clip(np.floor(source_rows) + 2, 0, height + 2).astype(int)
    left = np.clip(np.floor(source_columns) + 2, 0, width + 2).astype(int)
    down = np.clip(source_rows + 2 - top, 0, 1)
    right = np.clip(source_columns + 2 - left, 0, 1)
    upper = padded[top, left] * (1 - right) + padded[top, left + 1] * right
    lower = padded[top + 1, left] * (1 - right) + padded[top + 1, left + 1] * right
    turned: NDArray[np.float32] = (upper * (1 - down) + lower * down).astype(np.float32)
    return turned
