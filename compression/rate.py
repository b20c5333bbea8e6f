"""What a file costs on the wire: the size of the patch that the codec really writes, at the effort the registry uses. No estimate, no torch."""

import tempfile
from pathlib import Path

from delta.encoder import Effort, encode


def delta_bytes(base: Path, new: Path, *, effort: Effort | None = None) -> int:
    """Size in bytes of the patch from `base` to `new`, HTTP and metadata not counted."""
    return _patch_bytes(base, new, effort)


def packed_bytes(new: Path, *, effort: Effort | None = None) -> int:
    """Size in bytes of `new` packed without a base."""
    return _patch_bytes(None, new, effort)


def _patch_bytes(base: Path | None, new: Path, effort: Effort | None) -> int:
    with tempfile.TemporaryDirectory() as folder:
        return encode(base, new, Path(folder) / "patch", effort=effort).patch_bytes
