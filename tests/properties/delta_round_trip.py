"""The round trip that the codec's properties are about."""

import tempfile
from pathlib import Path

from delta import decoder
from delta.encoder import Effort, encode


def round_trip(base: bytes | None, new: bytes, effort: Effort) -> int:
    """Encode and apply in a folder of their own; the patch's size."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base_path = None if base is None else folder / "base"
        if base_path is not None and base is not None:
            base_path.write_bytes(base)
        (folder / "new").write_bytes(new)
        report = encode(base_path, folder / "new", folder / "patch", effort=effort)
        decoder.apply(base_path, folder / "patch", folder / "out")
        assert (folder / "out").read_bytes() == new
        return report.patch_bytes
