"""HDiffPatch with LZMA2."""

from pathlib import Path

from benchmarks.peers.codecs.codec import PythonCodec, StepName, held

WINDOW_LOG_MIN, WINDOW_LOG_MAX = 23, 30


class HDiff(PythonCodec):
    """The strongest generic differ we know for models. Its own proof by patching stays on, as ours does."""

    name = "HDiffPatch"
    distribution = "hdiffpatch"

    def load(self, step: StepName) -> None:
        import hdiffpatch  # noqa: F401

    def make(self, base: Path | None, new: Path, patch: Path) -> None:
        import hdiffpatch

        content = new.read_bytes()
        window = min(max(len(content).bit_length(), WINDOW_LOG_MIN), WINDOW_LOG_MAX)
        lzma2 = hdiffpatch.Lzma2Config(level=9, window=window, threads=1)
        patch.write_bytes(hdiffpatch.diff(held(base).read_bytes(), content, compression=lzma2))

    def apply(self, base: Path | None, patch: Path, out: Path) -> None:
        import hdiffpatch

        out.write_bytes(hdiffpatch.apply(held(base).read_bytes(), patch.read_bytes()))
