"""Pairs of files on disk: `<class>/<pair>/` with `new.*`, `base.*` unless packed, `codes.npz` where the class has them, and a manifest."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
CODES = "codes.npz"


class PairClass(StrEnum):
    """What the new file is to the base. Ratios are compared within a class; the order is the table's."""

    FINE_TUNED = "fp32-fine-tuned"
    GENTLE = "fp32-gentle"
    INT8_FINE_TUNED = "int8-fine-tuned"
    TO_INT8 = "fp32-to-int8"
    TO_FP16 = "fp32-to-fp16"
    UNRELATED = "fp32-unrelated"
    SAME_WEIGHTS = "same-weights"
    SHARED_VALUES = "pruned-clustered"
    SPARSE_DIFFERENCE = "sparse-difference"
    OTHER = "other"
    LARGE = "large"

    @property
    def heading(self) -> str:
        """For tables."""
        return _HEADINGS[self]


_HEADINGS = {
    PairClass.FINE_TUNED: "fp32 fine-tuned, all weights changed",
    PairClass.GENTLE: "fp32 fine-tuned gently or in part, many weights untouched",
    PairClass.INT8_FINE_TUNED: "int8 fine-tuned and re-quantised",
    PairClass.TO_INT8: "fp32 to int8 of the same weights",
    PairClass.TO_FP16: "fp32 to fp16 of the same weights",
    PairClass.UNRELATED: "fp32 retrained, unrelated or packed",
    PairClass.SAME_WEIGHTS: "same weights in another graph, name, order or layout",
    PairClass.SHARED_VALUES: "pruned or clustered, and packed installs of such",
    PairClass.SPARSE_DIFFERENCE: "base + quantised sparse difference",
    PairClass.OTHER: "other pairs",
    PairClass.LARGE: "100 MB, fp32 fine-tuned (synthetic weights)",
}


@dataclass(frozen=True, slots=True)
class Made:
    """The files of a pair before they are in the corpus. `suffix` and `base_suffix` begin with a dot; `codes` is an .npz."""

    new: bytes
    base: bytes | None = None
    suffix: str = ".onnx"
    base_suffix: str = ".onnx"
    codes: bytes | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """One pair of the corpus. `base` is `None` for a packed install, `codes` outside of the sparse differences."""

    pair_class: PairClass
    name: str
    how: str
    new: Path
    new_sha256: str
    new_bytes: int
    base: Path | None
    base_sha256: str | None
    base_bytes: int
    codes: Path | None


def write_pair(corpus: Path, pair_class: PairClass, name: str, how: str, made: Made) -> Pair:
    """Put a pair into the corpus; the manifest comes last, so that a folder without one is an unfinished pair."""
    folder = corpus / pair_class / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    files = {"new": _written(folder / f"new{made.suffix}", made.new)}
    if made.base is not None:
        files["base"] = _written(folder / f"base{made.base_suffix}", made.base)
    if made.codes is not None:
        files["codes"] = _written(folder / CODES, made.codes)
    manifest = {"class": pair_class, "pair": name, "how": how, "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return _read_pair(folder)


def read_pairs(corpus: Path) -> list[Pair]:
    """Every finished pair, by class and name."""
    folders = sorted(path.parent for path in corpus.glob(f"*/*/{MANIFEST}"))
    order = list(PairClass)
    return sorted(map(_read_pair, folders), key=lambda pair: (order.index(pair.pair_class), pair.name))


def damaged_files(pair: Pair) -> Iterator[Path]:
    """Files of `pair` whose bytes are not those of the manifest."""
    for path, expected in ((pair.new, pair.new_sha256), (pair.base, pair.base_sha256)):
        if path is not None and hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            yield path


def _written(path: Path, content: bytes) -> dict[str, Any]:
    path.write_bytes(content)
    return {"name": path.name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _read_pair(folder: Path) -> Pair:
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    files = manifest["files"]
    base = files.get("base")
    return Pair(
        pair_class=PairClass(manifest["class"]),
        name=manifest["pair"],
        how=manifest["how"],
        new=folder / files["new"]["name"],
        new_sha256=files["new"]["sha256"],
        new_bytes=files["new"]["bytes"],
        base=folder / base["name"] if base else None,
        base_sha256=base["sha256"] if base else None,
        base_bytes=base["bytes"] if base else 0,
        codes=folder / CODES if "codes" in files else None,
    )
