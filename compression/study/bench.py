"""What all points of a study are measured on: the spec's data, divided. No torch."""

from dataclasses import dataclass

import numpy as np

from compression.datasets import Samples, folds, load_samples, split
from compression.errors import DataUnusable
from compression.study.spec import StudySpec
from compression.zoo.entry import NetShape


@dataclass(frozen=True, slots=True)
class Bench:
    """What all points of a study are measured on: per fold the training samples and those held out."""

    samples: Samples
    parts: tuple[tuple[Samples, Samples], ...]
    shape: NetShape

    @property
    def different(self) -> int:
        """How many different samples accuracy is measured on."""
        return sum(len(held_out) for _, held_out in self.parts)


def bench_of(spec: StudySpec) -> Bench:
    """Load and divide the spec's data.

    Raises:
        DataUnusable: there are none, they are no labelled images, or too few.
    """
    samples = load_samples(spec.data())
    images, classes = samples.images, samples.classes
    if images.ndim != 4 or images.dtype != np.float32:
        raise DataUnusable(
            f"{spec.benchmark.data}: expected float32 images [N, C, H, W], got {images.dtype} {list(images.shape)}"
        )
    if classes.min() < 0 or classes.max() < 1:
        raise DataUnusable(
            f"{spec.benchmark.data}: labels are 0 and up, of two classes or more, not {classes.min()} to {classes.max()}"
        )
    chosen = spec.benchmark
    try:
        parts = (
            tuple(folds(samples, count=chosen.folds, seed=chosen.split_seed))
            if chosen.folds
            else (split(samples, held_out=chosen.held_out, seed=chosen.split_seed),)
        )
    except ValueError as error:
        raise DataUnusable(f"{chosen.data}: {error}") from error
    smallest = min(len(training) for training, _ in parts)
    if smallest < spec.training.batch:
        raise DataUnusable(
            f"{chosen.data}: {smallest} samples to train on are fewer than training.batch = {spec.training.batch}"
        )
    return Bench(samples, parts, NetShape(images.shape[1], images.shape[2], images.shape[3], int(classes.max()) + 1))
