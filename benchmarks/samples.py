"""Sample sets: small inputs with golden outputs and, if any, labels. Child and publisher side (numpy).

One `.npz` without pickles. Arrays: `input:<name>`, `golden:<output name>`, and optionally `labels` (int64, [n]). The first
axis of each is the sample. Where the model's input has as many axes as the array, sample i is fed as `x[i:i+1]` (the
first axis is the model's batch axis, batch 1); where it has one less, as `x[i]`. Golden outputs are compared likewise.
"""

import io
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.errors import SamplesUnreadable
from benchmarks.ports import Port

Array = np.ndarray[Any, Any]

INPUT, GOLDEN, LABELS = "input:", "golden:", "labels"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip entry can carry


@dataclass(frozen=True, slots=True)
class SampleSet:
    """Arrays by input or output name; the first axis of each has length `n`."""

    n: int
    inputs: dict[str, Array]
    goldens: dict[str, Array]
    labels: Array | None

    def feeds(self, index: int, ports: tuple[Port, ...]) -> dict[str, Array]:
        """What to feed for one sample."""
        return {port.name: _one(self.inputs[port.name], index, port) for port in ports}


def _one(array: Array, index: int, port: Port) -> Array:
    stacked = port.dims is not None and len(port.dims) == array.ndim - 1
    # Not ascontiguousarray: that would give a scalar an axis.
    return np.asarray(array[index] if stacked else array[index : index + 1], order="C")


def read_samples(path: Path, ports: tuple[Port, ...]) -> SampleSet:
    """Read a sample set for a model with these inputs.

    Raises:
        SamplesUnreadable: not an npz, arrays of different lengths, an input missing, or labels that are no integers.
    """
    arrays = _read_arrays(path)
    inputs = {name.removeprefix(INPUT): array for name, array in arrays.items() if name.startswith(INPUT)}
    goldens = {name.removeprefix(GOLDEN): array for name, array in arrays.items() if name.startswith(GOLDEN)}
    missing = [port.name for port in ports if port.name not in inputs]
    if missing:
        raise SamplesUnreadable(f"no samples for input {', '.join(missing)}; the set has {', '.join(inputs) or 'none'}")
    labels = arrays.get(LABELS)
    if labels is not None and (labels.dtype.kind not in "iu" or labels.ndim != 1):
        raise SamplesUnreadable(f"labels must be integers of shape [n], not {labels.dtype} {list(labels.shape)}")
    return SampleSet(_common_length(arrays), inputs, goldens, labels)


def _read_arrays(path: Path) -> dict[str, Array]:
    try:
        # Opened here, because np.load leaves the file open when it is not a zip.
        with path.open("rb") as file:
            is_zip = zipfile.is_zipfile(file)
            file.seek(0)
            # What is no zip, np.load would take for a single array or for a pickle.
            archive = np.load(file, allow_pickle=False) if is_zip else None
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise SamplesUnreadable(f"{path.name} is not an npz of arrays")
            with archive:
                return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise SamplesUnreadable(f"{path.name} is not a readable npz without pickles: {error}") from error


def _common_length(arrays: Mapping[str, Array]) -> int:
    lengths = {array.shape[0] if array.ndim else None for array in arrays.values()}
    if len(lengths) != 1 or None in lengths or 0 in lengths:
        shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items())
        raise SamplesUnreadable(f"every array needs the same, non-zero first axis: {shapes or 'there are none'}")
    return int(lengths.pop() or 0)


def write_samples(
    path: Path, inputs: Mapping[str, Array], goldens: Mapping[str, Array], labels: Array | None = None
) -> None:
    """Write a sample set; the same arrays give the same bytes, so its digest can be published.

    Raises:
        SamplesUnreadable: the first axes differ.
    """
    arrays = {f"{INPUT}{name}": array for name, array in inputs.items()}
    arrays |= {f"{GOLDEN}{name}": array for name, array in goldens.items()}
    if labels is not None:
        arrays[LABELS] = labels.astype(np.int64)
    _common_length(arrays)
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(arrays):
            archive.writestr(_entry(name), _npy_bytes(arrays[name]), zipfile.ZIP_DEFLATED, compresslevel=9)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(f"{name}.npy", date_time=_EPOCH)
    entry.create_system = 3  # otherwise it says which system wrote the file
    return entry


def _npy_bytes(array: Array) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()
