"""What the nets of the zoo weigh, counted in the files they export to, beside the papers. Torch is imported when one is counted.

Every net is written to a temporary folder with zeros as weights, counted by the ruler and deleted, one at a time. Counts are
kept by a digest of everything they follow from: our sources and the versions of torch and onnx.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import benchmarks.static_cost
import compression
from compression.zoo.entry import MB, ZooEntry

NEAR = 0.05


@dataclass(frozen=True, slots=True)
class Counts:
    """What `benchmarks.static_cost` finds in the exported file, and the file's size.

    `macs` is a lower bound where `ops_uncounted` has an operator; see `StaticCost`.
    """

    param_count: int
    param_bytes: int
    macs: int
    peak_activation_bytes: int | None
    ops_uncounted: dict[str, int]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Row:
    """A net and its counts."""

    entry: ZooEntry
    counts: Counts

    @property
    def ratio(self) -> float | None:
        """The bytes of its weights as a part of the paper's figure."""
        return self.entry.ratio(self.counts.param_bytes)

    @property
    def is_near(self) -> bool:
        """Within 5 % of the paper's figure."""
        return self.ratio is not None and abs(self.ratio - 1) <= NEAR

    @property
    def explanation(self) -> str:
        """Why it is the paper's figure, or is not, with the counted figures in it."""
        return self.entry.explain(param_count=self.counts.param_count, param_bytes=self.counts.param_bytes)

    def update_cost(self, price_per_mb: float, devices: int) -> float:
        """What it costs to send the whole file to that many devices, in the price's currency."""
        return self.counts.size_bytes / MB * price_per_mb * devices

    def as_json(self) -> dict[str, Any]:
        """The row as JSON values."""
        return {
            "name": self.entry.name,
            "param_count": self.counts.param_count,
            "param_bytes": self.counts.param_bytes,
            "dtype": self.entry.dtype,
            "macs": self.counts.macs,
            "peak_activation_bytes": self.counts.peak_activation_bytes,
            "paper_bytes": self.entry.paper.paper_bytes,
            "ratio": self.ratio,
            "explanation": self.explanation,
            "title": self.entry.title,
            "paper_figure": self.entry.paper.figure,
            "size_bytes": self.counts.size_bytes,
            "ops_uncounted": self.counts.ops_uncounted,
        }


def count(entry: ZooEntry) -> Counts:
    """Export the net for its paper's shape and count the file. Peak memory is the parsed file, disk the file."""
    from compression.zoo.export import write_for_counting

    with tempfile.TemporaryDirectory(prefix="smallfleet-zoo-") as folder:
        path = Path(folder) / f"{entry.name}.onnx"
        write_for_counting(entry, path)
        cost = benchmarks.static_cost.count_static_cost(path)
        size_bytes = path.stat().st_size
    return Counts(
        param_count=cost.param_count,
        param_bytes=cost.param_bytes,
        macs=cost.macs_total,
        peak_activation_bytes=cost.peak_activation_bytes,
        ops_uncounted=dict(cost.ops_uncounted),
        size_bytes=size_bytes,
    )


def table(
    entries: Iterable[ZooEntry],
    *,
    folder: Path | None = None,
    again: bool = False,
    counted: Callable[[int], object] = lambda _count: None,
) -> list[Row]:
    """A row for each net, counted or, if nothing it follows from has changed, as counted before.

    Args:
        entries: the nets.
        folder: where counts are kept; by default `default_folder()`.
        again: count even where counts are kept.
        counted: is called with 1 behind each row.
    """
    rows = []
    for entry in entries:
        kept = (folder or default_folder()) / f"{entry.name}-{_digest(entry)[:32]}.json"
        found = None if again else _read(kept)
        rows.append(Row(entry, found or _keep(kept, count(entry))))
        counted(1)
    return rows


def default_folder() -> Path:
    """`smallfleet/zoo` in the user's cache folder (XDG base directory specification)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "smallfleet" / "zoo"


def _digest(entry: ZooEntry) -> str:
    """Of everything that the counts follow from, which is more than one net's own source but never less."""
    return hashlib.sha256(f"{_sources_digest()}/{entry.name}/{entry.shape}/{entry.dtype}".encode()).hexdigest()


@cache
def _sources_digest() -> str:
    package, counter = Path(compression.__file__).parent, Path(benchmarks.static_cost.__file__).parent
    digest = hashlib.sha256("/".join(version(name) for name in ("torch", "onnx")).encode())
    for source in [*sorted((package / "zoo").rglob("*.py")), package / "onnx_export.py", *sorted(counter.glob("*.py"))]:
        digest.update(hashlib.sha256(source.read_bytes()).digest())
    return digest.hexdigest()


def _read(kept: Path) -> Counts | None:
    try:
        return Counts(**json.loads(kept.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):  # none, or one that a full disk cut: it is made again
        return None


def _keep(kept: Path, counts: Counts) -> Counts:
    kept.parent.mkdir(parents=True, exist_ok=True)
    # Renamed into place, so that nobody reads half of it.
    with tempfile.NamedTemporaryFile("w", dir=kept.parent, encoding="utf-8", delete=False) as file:
        json.dump(asdict(counts), file)
    Path(file.name).replace(kept)
    return counts
