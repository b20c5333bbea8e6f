"""zstd -19 of the new file alone."""

from pathlib import Path

from benchmarks.peers.codecs.codec import ProgramCodec, run_program


class ZstdAlone(ProgramCodec):
    """The general compressor that a plain download would use."""

    name = "zstd -19"
    program = "zstd"
    how_to_install = "apt-get install zstd"

    def make(self, base: Path | None, new: Path, patch: Path) -> int:
        return run_program("zstd", "-q", "-f", "-19", "--single-thread", new, "-o", patch)

    def apply(self, base: Path | None, patch: Path, out: Path) -> int:
        return run_program("zstd", "-q", "-f", "-d", patch, "-o", out)
