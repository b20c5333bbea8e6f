"""zstd -22 --ultra --patch-from: the base as a prefix of the window."""

from pathlib import Path

from benchmarks.peers.codecs.codec import ProgramCodec, held, run_program

# Of level 22. Smaller windows would not reach a part of a small base either.
WINDOW_LOG_MIN, WINDOW_LOG_MAX = 27, 31


class ZstdPatch(ProgramCodec):
    """Its window is made long enough for base and new file together."""

    name = "zstd patch"
    uses_base = True
    program = "zstd"
    how_to_install = "apt-get install zstd"

    def make(self, base: Path | None, new: Path, patch: Path) -> int:
        window = f"--long={_window_log(held(base).stat().st_size + new.stat().st_size)}"
        options = ("-22", "--ultra", "--single-thread", window, f"--patch-from={base}")
        return run_program("zstd", "-q", "-f", *options, new, "-o", patch)

    def apply(self, base: Path | None, patch: Path, out: Path) -> int:
        return run_program(
            "zstd", "-q", "-f", "-d", f"--long={WINDOW_LOG_MAX}", f"--patch-from={base}", patch, "-o", out
        )


def _window_log(size_bytes: int) -> int:
    return min(max(size_bytes.bit_length(), WINDOW_LOG_MIN), WINDOW_LOG_MAX)
