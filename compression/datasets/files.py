"""Samples in a file: the npz that the ruler and devices read as well (`benchmarks.samples`)."""

from pathlib import Path

import numpy as np

from benchmarks.errors import SamplesUnreadable
from benchmarks.samples import read_samples, write_samples
from compression.datasets.samples import Samples
from compression.errors import DataUnusable


def read_samples_file(path: Path) -> Samples:
    """The arrays `input:<name>` and, if any, `labels` of an npz without pickles.

    Raises:
        DataUnusable: it is none, has no input, or a value that is not finite; the message names file and array.
    """
    try:
        found = read_samples(path, ())
    except SamplesUnreadable as error:
        raise DataUnusable(str(error)) from error
    if not found.inputs:
        raise DataUnusable(f"{path.name} has no array input:<name>")
    for name, array in found.inputs.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DataUnusable(f"{path.name}: input:{name} has values that are not finite")
    return Samples(found.inputs, None if found.labels is None else found.labels.astype(np.int64))


def write_samples_file(path: Path, samples: Samples) -> None:
    """Write what `read_samples_file` reads; the same samples give the same bytes."""
    write_samples(path, samples.inputs, {}, samples.labels)
