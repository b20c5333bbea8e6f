"""ZipNN (M. Hershcovitch et al., arXiv:2411.05239): lossless packing of weights, floats split into bytes.

With a file of the same length it packs the XOR with that. It pulls in torch, so it lives in an environment of its own:
`python -m benchmarks.peers environments`.
"""

import subprocess
from pathlib import Path
from typing import Any

from benchmarks.peers.codecs.codec import StepName
from benchmarks.peers.folders import environments_folder

REQUIREMENTS = ("zipnn==0.5.4", "torch==2.13.0", "numpy==2.4.6")


class ZipNN:
    """The whole file as a stream of float32, as its command line takes a file that is not safetensors."""

    how_to_install = "python -m benchmarks.peers environments"

    def __init__(self, *, difference: bool) -> None:
        self.name = "ZipNN delta" if difference else "ZipNN"
        self.uses_base = difference

    def refuses(self, base: Path | None, new: Path) -> str | None:
        """The difference needs files of one length."""
        if self.uses_base and (base is None or base.stat().st_size != new.stat().st_size):
            return "needs a base of the same length"
        return None

    def interpreter(self, cache: Path) -> Path:
        return environments_folder(cache) / "zipnn" / "bin" / "python"

    def version(self, cache: Path) -> str | None:
        question = "import importlib.metadata as m; print(m.version('zipnn'))"
        interpreter = self.interpreter(cache)
        if not interpreter.exists():
            return None
        return subprocess.run([interpreter, "-c", question], capture_output=True, text=True, check=True).stdout.strip()

    def load(self, step: StepName) -> None:
        import zipnn  # noqa: F401

    def make(self, base: Path | None, new: Path, patch: Path) -> None:
        content = new.read_bytes()
        tail = content[_whole(content) :]
        # It overwrites what it is given; nothing here reads that again.
        coded = self._zipper().compress(content[: _whole(content)], delta_second_data=_second(base))
        patch.write_bytes(coded + tail + bytes([len(tail)]))

    def apply(self, base: Path | None, patch: Path, out: Path) -> None:
        coded = patch.read_bytes()
        end = len(coded) - 1 - coded[-1]
        out.write_bytes(self._zipper().decompress(coded[:end], delta_second_data=_second(base)) + coded[end:-1])

    def _zipper(self) -> Any:
        import zipnn

        kind = {"delta_compressed_type": "byte"} if self.uses_base else {}
        return zipnn.ZipNN(input_format="byte", bytearray_dtype="float32", threads=1, **kind)


def _second(base: Path | None) -> bytes | None:
    content = base.read_bytes() if base else None
    return content and content[: _whole(content)]


def _whole(content: bytes) -> int:
    """Bytes that are whole float32s: with others version 0.5.4 corrupts its heap, so up to three are sent as they are."""
    return len(content) - len(content) % 4
