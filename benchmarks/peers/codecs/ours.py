"""This project's codec, through its public functions."""

import hashlib
from importlib.metadata import version as distribution_version
from pathlib import Path

import delta
from benchmarks.peers.codecs.codec import PythonCodec, StepName


class Ours(PythonCodec):
    """`delta.encoder.encode` and `delta.decoder.apply`. Making includes the proof by decoding.

    Applying fsyncs its output; the comparison works in memory-backed folders, where that costs nothing.
    """

    def __init__(self, effort: str) -> None:
        self.name = f"ours {effort}"
        self._effort = effort

    def refuses(self, base: Path | None, new: Path) -> None:
        """Nothing: it packs without a base."""

    def version(self, cache: Path) -> str:
        """Of the code itself: a changed codec has no results yet."""
        digest = hashlib.sha256()
        root = Path(delta.__file__).parent
        for path in sorted(root.rglob("*.py")):
            digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
        libraries = (distribution_version(name) for name in ("numpy", "pcodec", "zstandard"))
        return f"{digest.hexdigest()[:16]} with {', '.join(libraries)}"

    def load(self, step: StepName) -> None:
        # A device never has the encoder.
        if step == "make":
            from delta import encoder  # noqa: F401
        else:
            from delta import decoder  # noqa: F401

    def make(self, base: Path | None, new: Path, patch: Path) -> None:
        from delta.encoder import Effort, encode

        encode(base, new, patch, effort=Effort(self._effort))

    def apply(self, base: Path | None, patch: Path, out: Path) -> None:
        from delta import decoder

        decoder.apply(base, patch, out)
