"""xdelta3 -9 -S lzma."""

from pathlib import Path

from benchmarks.peers.codecs.codec import ProgramCodec, held, run_program

# Its default of 64 MiB would not reach all of a larger base; it wants a power of two, at most 2 GiB.
SOURCE_WINDOW_MIN_LOG, SOURCE_WINDOW_MAX_LOG = 26, 31


class Xdelta(ProgramCodec):
    """VCDIFF with LZMA as its secondary compressor; the source window spans the base."""

    name = "xdelta3"
    uses_base = True
    program = "xdelta3"
    how_to_install = "apt-get install xdelta3"
    version_arguments = ("-V",)

    def make(self, base: Path | None, new: Path, patch: Path) -> int:
        return run_program(
            "xdelta3", "-e", "-9", "-S", "lzma", "-f", "-B", _window(held(base)), "-s", held(base), new, patch
        )

    def apply(self, base: Path | None, patch: Path, out: Path) -> int:
        return run_program("xdelta3", "-d", "-f", "-B", _window(held(base)), "-s", held(base), patch, out)


def _window(base: Path) -> str:
    log = min(max(held(base).stat().st_size.bit_length(), SOURCE_WINDOW_MIN_LOG), SOURCE_WINDOW_MAX_LOG)
    return str(1 << log)
