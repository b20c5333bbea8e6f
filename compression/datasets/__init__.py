"""Labelled samples: the sets that come with packages, files of one's own, and splits and folds that are the same everywhere. No torch.

`--data` of every command takes what `load_samples` takes. A new named set is a function in a module here and a line in `NAMED`.
"""

from collections.abc import Callable
from pathlib import Path

from compression.datasets.digits import digits
from compression.datasets.files import read_samples_file, write_samples_file
from compression.datasets.mnist import mnist, mnist_halved
from compression.datasets.samples import Samples
from compression.datasets.splits import HELD_OUT, SPLIT_SEED, folds, split, split_for
from compression.errors import DataUnusable

__all__ = [
    "HELD_OUT",
    "NAMED",
    "SPLIT_SEED",
    "Samples",
    "folds",
    "load_samples",
    "read_samples_file",
    "split",
    "split_for",
    "write_samples_file",
]

NAMED: dict[str, Callable[[], Samples]] = {"digits": digits, "mnist": mnist, "mnist14": mnist_halved}


def load_samples(name_or_file: str) -> Samples:
    """A named set, whole and in its fixed order, or the samples of an npz file.

    Raises:
        DataUnusable: no such name or file, or the file cannot be used.
    """
    if name_or_file in NAMED:
        return NAMED[name_or_file]()
    path = Path(name_or_file)
    if not path.exists():
        raise DataUnusable(f"{name_or_file}: neither a file nor a named set ({', '.join(NAMED)})")
    return read_samples_file(path)
