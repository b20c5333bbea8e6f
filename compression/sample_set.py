"""Sample sets: small inputs, golden outputs and labels in one .npz that opens without pickle. No torch.

Arrays are named `input:<name>`, `golden:<name>` and `labels`. The bytes depend on the arrays alone: members are sorted
and carry no time, so the same samples have the same digest wherever they are written.
"""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# The earliest time a zip member can have.
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def write_sample_set(
    path: Path,
    *,
    inputs: Mapping[str, NDArray[np.float32]],
    goldens: Mapping[str, NDArray[np.float32]],
    labels: NDArray[np.int64],
) -> None:
    """Write a sample set; every array has the samples along its first axis.

    Raises:
        ValueError: the arrays disagree on the number of samples.
    """
    arrays: dict[str, NDArray[np.float32] | NDArray[np.int64]] = {"labels": labels}
    arrays |= {f"input:{name}": array for name, array in inputs.items()}
    arrays |= {f"golden:{name}": array for name, array in goldens.items()}
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) != 1:
        raise ValueError(f"a sample set needs the same number of samples in every array, got {counts}")
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(arrays):
            member = zipfile.ZipInfo(f"{name}.npy", date_time=ZIP_EPOCH)
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, _npy_bytes(arrays[name]), compresslevel=9)


def _npy_bytes(array: NDArray[np.float32] | NDArray[np.int64]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return buffer.getvalue()
