"""bsdiff4: suffix sorting, bytewise differences, bzip2."""

from pathlib import Path

from benchmarks.peers.codecs.codec import PythonCodec, StepName


class Bsdiff(PythonCodec):
    """What most updaters of the last twenty years use."""

    name = "bsdiff4"
    distribution = "bsdiff4"

    def load(self, step: StepName) -> None:
        import bsdiff4  # noqa: F401

    def make(self, base: Path | None, new: Path, patch: Path) -> None:
        import bsdiff4

        bsdiff4.file_diff(str(base), str(new), str(patch))

    def apply(self, base: Path | None, patch: Path, out: Path) -> None:
        import bsdiff4

        bsdiff4.file_patch(str(base), str(out), str(patch))
