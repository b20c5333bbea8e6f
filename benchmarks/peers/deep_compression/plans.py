"""What is trained, pruned and shared for the table: the whole of it, and a short one to see that it works."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.peers.deep_compression.nets import FIRES, Fires, squeezenet
from compression.squeezenet import SqueezeNetShape
from compression.training import Recipe

SEED = 2017


@dataclass(frozen=True, slots=True)
class Plan:
    """One table.

    Attributes:
        samples: name of the data set, `held_out` samples of which are for measuring alone.
        shape: of the original, trained by `recipe`.
        slim: how whole channels are removed before single weights are; what is left teaches the rounds of pruning and the sharing.
        rounds: of pruning: sparsity and epochs, each beginning with what the one before left; `prune` are a round's other keys.
        points: the sparsities at which weights are shared, one row of the curve each, by `share`.
        small: how a small net of the width w looks, trained by `small_recipe`.
        small_share: how a small net is shared that has more weights in the same bytes.
    """

    name: str
    samples: str
    held_out: int
    shape: SqueezeNetShape
    recipe: Recipe
    slim: Mapping[str, Any]
    rounds: tuple[tuple[float, int], ...]
    points: tuple[float, ...]
    prune: Mapping[str, Any]
    share: Mapping[str, Any]
    small_recipe: Recipe
    small_share: Mapping[str, Any]
    small_widths: range

    def small(self, width: int) -> SqueezeNetShape:
        """A net of the same family with three fire modules, and as much sampling down as the images allow."""
        fires: Fires = ((width, 2 * width), (width, 3 * width), (2 * width, 4 * width))
        if len(self.shape.stages) == 2:
            return SqueezeNetShape(self.shape.classes, 3 * width, (fires[:1], fires[1:]))
        return squeezenet(fires, stem=3 * width, classes=self.shape.classes)


FULL = Plan(
    name="full",
    samples="mnist",
    held_out=1500,
    shape=squeezenet(FIRES),
    recipe=Recipe(epochs=20, peak_learning_rate=3e-3, shift_pixels=2.0, seed=SEED),
    slim={
        "macs": 0.5,
        "epochs": 5,
        "rounds": 1,
        "multiple_of": 8,
        "learning_rate": 2e-3,
        "shift_pixels": 2.0,
        "teacher": "given",
    },
    rounds=((0.85, 4),),
    points=(0.85,),
    prune={"learning_rate": 2e-3, "every": 10, "shift_pixels": 2.0, "until": 0.5, "teacher": "given"},
    share={
        "epochs": 1,
        "learning_rate": 3e-4,
        "shift_pixels": 2.0,
        "convolution_bits": 4,
        "bias_bits": 4,
        "coarse": True,
        "teacher": "given",
    },
    small_recipe=Recipe(epochs=15, peak_learning_rate=5e-3, shift_pixels=2.0, seed=SEED),
    small_share={
        "epochs": 4,
        "learning_rate": 1e-3,
        "shift_pixels": 2.0,
        "convolution_bits": 5,
        "bias_bits": 4,
        "coarse": True,
        "teacher": "given",
    },
    small_widths=range(1, 32),
)
SHORT = Plan(
    name="short",
    samples="digits",
    held_out=600,
    shape=SqueezeNetShape(10, 16, (((8, 24),), ((12, 32),))),
    recipe=Recipe(epochs=8, peak_learning_rate=8e-3, shift_pixels=0.0, seed=SEED, batch=32),
    slim={"macs": 0.6, "epochs": 4, "rounds": 1, "learning_rate": 4e-3, "batch": 32, "teacher": "given"},
    rounds=((0.5, 4), (0.7, 4)),
    points=(0.5, 0.7),
    prune={"learning_rate": 4e-3, "batch": 32, "until": 0.5, "teacher": "given"},
    share={
        "epochs": 4,
        "learning_rate": 2e-3,
        "batch": 32,
        "convolution_bits": 4,
        "bias_bits": 4,
        "coarse": True,
        "teacher": "given",
    },
    small_recipe=Recipe(epochs=8, peak_learning_rate=1e-2, shift_pixels=0.0, seed=SEED, batch=32),
    small_share={"epochs": 2, "convolution_bits": 5, "bias_bits": 4, "coarse": True, "batch": 32, "teacher": "given"},
    small_widths=range(1, 6),
)
