"""xz -9e of the new file alone."""

from pathlib import Path

from benchmarks.peers.codecs.codec import ProgramCodec, run_program


class XzAlone(ProgramCodec):
    """The strongest compressor that every distribution has."""

    name = "xz -9e"
    program = "xz"
    how_to_install = "apt-get install xz-utils"

    def make(self, base: Path | None, new: Path, patch: Path) -> int:
        return run_program("sh", "-c", 'exec xz -9e -T1 -c "$1" > "$2"', "xz", new, patch)

    def apply(self, base: Path | None, patch: Path, out: Path) -> int:
        return run_program("sh", "-c", 'exec xz -d -c "$1" > "$2"', "xz", patch, out)
