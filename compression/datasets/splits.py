"""Splits by label that are the same on every machine."""

from collections.abc import Iterator

import numpy as np
from sklearn.model_selection import StratifiedKFold, train_test_split

from compression.datasets.samples import Samples
from compression.errors import DataUnusable

SPLIT_SEED = 2017
HELD_OUT = 0.25
"""The share that commands hold out unless told otherwise: variants made by different commands are then measured on the same samples."""


def split(samples: Samples, *, held_out: float, seed: int = SPLIT_SEED) -> tuple[Samples, Samples]:
    """The training part and the held-out part, which is so many samples or that share of them."""
    train, held = train_test_split(
        np.arange(len(samples)), test_size=held_out, random_state=seed, stratify=samples.classes
    )
    return samples.take(train), samples.take(held)


def split_for(samples: Samples, *, held_out: float, seed: int) -> tuple[Samples, Samples]:
    """`split` by a share that somebody asked for.

    Raises:
        DataUnusable: there are too few samples of a class, or too few for the share.
    """
    try:
        return split(samples, held_out=held_out, seed=seed)
    except ValueError as error:
        raise DataUnusable(f"{len(samples)} samples cannot be split, {held_out:g} held out: {error}") from error


def folds(samples: Samples, *, count: int = 5, seed: int = SPLIT_SEED) -> Iterator[tuple[Samples, Samples]]:
    """`count` times a training part and the fold that is left out of it; every sample is in one fold."""
    for train, fold in StratifiedKFold(count, shuffle=True, random_state=seed).split(
        np.zeros(len(samples)), samples.classes
    ):
        yield samples.take(train), samples.take(fold)
