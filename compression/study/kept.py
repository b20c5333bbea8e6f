"""What workers keep of a point beside its trial, and how: its file, and which samples its nets were right about. No torch, no Optuna."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

STORAGE_VARIABLE = "SMALLFLEET_STUDY_STORAGE"
"""Names the storage where an argument would show its password."""


def point_file(out: Path, number: int) -> Path:
    """Where a point's model is kept."""
    return out / "points" / f"{number:05}.onnx"


def packed(right: Sequence[bool]) -> str:
    """Answers as hexadecimal bits, the first sample first."""
    return np.packbits(np.asarray(right, dtype=bool)).tobytes().hex()


def unpacked(text: str, count: int) -> NDArray[np.bool_]:
    """The `count` answers that `packed` wrote: bool [count]."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), dtype=np.uint8), count=count).astype(np.bool_)
